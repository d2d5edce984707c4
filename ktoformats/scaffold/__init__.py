"""New plugins: a complete distribution for each kind, plain or drafted from the shape of a file."""
