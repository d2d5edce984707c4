"""First-party presets: one layout, one file of data."""
