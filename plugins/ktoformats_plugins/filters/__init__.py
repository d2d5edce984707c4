"""First-party plugins: one file, one plugin, one entry point."""
