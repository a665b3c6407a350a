"""The embed phase."""
