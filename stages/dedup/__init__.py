"""The dedup phase: finds near-duplicates among the clips of all partitions, and keeps one clip of each group.

In: kept rows of `filtered_clips` and `embeddings` of all partitions. Out: rows of `unique_clips`, in one table. Its
index of vectors is open to search.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.dedup.index_files import unneeded_files
from stages.dedup.phase import DedupPhase
from stages.dedup.planning import EMBEDDING_COLUMNS
from stages.dedup.quota_columns import check_quotas
from stages.dedup.rank_columns import check_rank_by
from stages.dedup.segment_files import INDEX_FOLDER, model_folder
from stages.dedup.similarity import MARGIN, exact_similarity
from stages.dedup.vector_store import DamagedSegment, VectorStore

__all__ = [
    "EMBEDDING_COLUMNS",
    "INDEX_FOLDER",
    "MARGIN",
    "DamagedSegment",
    "DedupPhase",
    "VectorIndex",
    "VectorStore",
    "check_quotas",
    "check_rank_by",
    "exact_similarity",
    "index_of_table",
    "model_folder",
    "unneeded_files",
]

if TYPE_CHECKING:
    from stages.dedup.vector_index import VectorIndex, index_of_table
else:
    __getattr__ = lazy.module_getattr(__name__, vector_index=("VectorIndex", "index_of_table"))
