"""The dedup phase."""
