"""Looks at data before a training run, and tells what would go wrong with it."""
