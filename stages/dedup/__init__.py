"""The dedup phase: finds near-duplicates among the clips of all partitions, and keeps one clip of each group.

In: kept rows of `filtered_clips` and `embeddings` of all partitions. Out: rows of `unique_clips`, in one table.
"""

from stages.dedup.index_files import unneeded_files
from stages.dedup.phase import DedupPhase
from stages.dedup.quota_columns import check_quotas
from stages.dedup.rank_columns import check_rank_by
from stages.dedup.segment_files import INDEX_FOLDER

__all__ = ["INDEX_FOLDER", "DedupPhase", "check_quotas", "check_rank_by", "unneeded_files"]
