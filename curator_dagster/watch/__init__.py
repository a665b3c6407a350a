"""Watching a source: what is new becomes partitions, and runs are asked for that curate them."""
