"""What a file might mean: drafts of mappings, for a user to judge. Nothing here decides how a file is read."""
