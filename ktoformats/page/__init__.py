"""A page that people read: parts made of few kinds of blocks, written as one HTML file that holds all it needs."""
