"""Mode `neighbors`: every clip against every other, over all partitions.

    fresh clips ── near an older kept clip? ── yes ──> removed
         │ no
    chains of near-duplicates ── in each, by the keep-rule: take the best, drop what is near it, go on

Afterwards no two kept clips are near-duplicates, and each removed clip is one of a kept clip. That differs from
NeMo Curator on purpose, where a clip may be removed because of one that is itself removed.
"""

import numpy as np

from stages.dedup.clips import Clips, Decisions, Vectors
from stages.dedup.ranking import distance_to_mean, preference
from stages.dedup.similarity import components, independent, nearest_of, threshold
from stages.params import DedupParams


def decide(clips: Clips, standing: Decisions, params: DedupParams) -> Decisions:
    """Decide what is open; what stands stays. A group is a kept clip and the removed ones that are nearest to it."""
    least = threshold(params.eps)
    kept = standing.kept.copy()
    fresh = np.flatnonzero(standing.is_open)
    _, similarity = nearest_of(clips.vectors, fresh, np.flatnonzero(kept))
    uncovered = fresh[~(similarity >= least)]  # NaN where nothing is kept yet
    for members in components(clips.vectors, uncovered, least):
        liked = preference(clips, members, distance_to_mean(clips.vectors[members]), params)
        kept[independent(clips.vectors, liked, least)] = True
    return _assign(clips.vectors, standing, kept)


def _assign(vectors: Vectors, standing: Decisions, kept: np.ndarray) -> Decisions:
    """The nearest kept clip of every clip, comparing with new ones only where the earlier nearest is still kept."""
    newly = np.flatnonzero(kept & ~standing.kept)
    known = ~standing.is_open & (standing.nearest >= 0) & kept[standing.nearest]
    nearest = np.where(known, standing.nearest, -1)
    similarity = np.where(known, standing.similarity, np.nan)
    for queries, targets in (
        (np.flatnonzero(known), newly),
        (np.flatnonzero(~known), np.flatnonzero(kept)),
    ):
        found, value = nearest_of(vectors, queries, targets)
        better = (found >= 0) & ~(value <= similarity[queries])
        nearest[queries[better]] = found[better]
        similarity[queries[better]] = value[better]
    return Decisions(np.where(kept, np.arange(len(kept)), nearest), nearest, similarity)
