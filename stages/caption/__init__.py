"""The caption phase."""
