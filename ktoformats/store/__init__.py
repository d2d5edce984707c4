"""What is built and kept: the samples of a source, and views of them."""
