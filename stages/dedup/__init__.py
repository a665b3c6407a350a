"""Dedup: one decision over the clips of all partitions: which are near-duplicates, and which of those stays."""

from stages.dedup.phase import DedupPhase

__all__ = ["DedupPhase"]
