"""What a user may set, read strictly."""
