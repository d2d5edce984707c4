"""What a trainer sees: datasets, their order, splits, tokens, batches and class weights."""
