"""The dedup phase: finds near-duplicates among the clips of all partitions, and keeps one clip of each group.

In: kept rows of `filtered_clips` and `embeddings` of all partitions. Out: rows of `unique_clips`, in one table.
"""

from stages.dedup.phase import DedupPhase
from stages.dedup.rank_columns import check_rank_by

__all__ = ["DedupPhase", "check_rank_by"]
