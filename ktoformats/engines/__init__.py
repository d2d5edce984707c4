"""The same pipeline on other machinery."""
