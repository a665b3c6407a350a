"""The split phase."""
