"""The filter phase."""
