"""The write phase."""
