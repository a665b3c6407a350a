"""The read phase."""
