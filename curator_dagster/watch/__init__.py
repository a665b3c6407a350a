"""Scans a source for new videos, registers them as partitions, and requests runs: sensor and schedule."""
