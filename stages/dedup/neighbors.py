"""Mode `neighbors`: compares every clip with every other, over all partitions.

    undecided clips ── near-duplicate of a kept clip? ── yes ──> removed
         │ no
    connected components of near-duplicates ── in each, in order of preference: keep a clip, remove its near-duplicates

Afterwards no two kept clips are near-duplicates, and each removed clip is a near-duplicate of a kept one. NeMo Curator
differs: there a clip may be removed because of a clip that is itself removed.
"""

import numpy as np

from stages.dedup.arrays import Clips, Decisions, Vectors
from stages.dedup.ranking import distance_to_mean, order_by_preference
from stages.dedup.similarity import connected_components, greedy_independent_set, nearest_targets, similarity_threshold
from stages.params import DedupParams


def decide(clips: Clips, earlier: Decisions, params: DedupParams) -> Decisions:
    """The decisions for all clips: those of `earlier`, and new ones where it leaves a clip undecided.

    A group is a kept clip and the removed clips that are nearest to it.
    """
    min_similarity = similarity_threshold(params.eps)
    kept = earlier.kept.copy()
    undecided = np.flatnonzero(earlier.is_undecided)
    _, similarity = nearest_targets(clips.vectors, undecided, np.flatnonzero(kept))
    uncovered = undecided[~(similarity >= min_similarity)]  # NaN where nothing is kept yet
    for members in connected_components(clips.vectors, uncovered, min_similarity):
        ordered = order_by_preference(clips, members, distance_to_mean(clips.vectors[members]), params)
        kept[greedy_independent_set(clips.vectors, ordered, min_similarity)] = True
    return _assign_groups(clips.vectors, earlier, kept)


def _assign_groups(vectors: Vectors, earlier: Decisions, kept: np.ndarray) -> Decisions:
    """Decisions with the nearest kept clip of every clip.

    Where the earlier nearest clip is still kept, only newly kept clips are compared.
    """
    newly_kept = np.flatnonzero(kept & ~earlier.kept)
    known = ~earlier.is_undecided & (earlier.nearest >= 0) & kept[earlier.nearest]
    nearest = np.where(known, earlier.nearest, -1)
    similarity = np.where(known, earlier.similarity, np.nan)
    for queries, targets in (
        (np.flatnonzero(known), newly_kept),
        (np.flatnonzero(~known), np.flatnonzero(kept)),
    ):
        found, value = nearest_targets(vectors, queries, targets)
        better = (found >= 0) & ~(value <= similarity[queries])
        nearest[queries[better]] = found[better]
        similarity[queries[better]] = value[better]
    return Decisions(np.where(kept, np.arange(len(kept)), nearest), nearest, similarity)
