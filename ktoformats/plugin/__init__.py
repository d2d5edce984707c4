"""What a plugin is, how it is found and how it is loaded."""
