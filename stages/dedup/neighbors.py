"""Mode `neighbors`: compares every clip with every other, over all partitions.

    undecided clips ── near-duplicate of a kept clip? ── yes ──> removed
         │ no
    connected components of near-duplicates ── in each, in order of preference: keep a clip, remove its near-duplicates

Afterwards no two kept clips are near-duplicates, and each removed clip is a near-duplicate of a kept one. NeMo Curator
differs: there a clip may be removed because of a clip that is itself removed.
"""

import numpy as np

from stages.dedup.arrays import Clips, Decisions, Positions
from stages.dedup.components import ComponentSearch, Forest
from stages.dedup.independent_set import keep_independent
from stages.dedup.nearest import NearestSearch
from stages.dedup.searches import Deciding, run_here
from stages.dedup.similarity import similarity_threshold
from stages.params import DedupParams


def decide(clips: Clips, earlier: Decisions, params: DedupParams) -> Decisions:
    """The decisions for all clips, made here; see `decisions_of`."""
    return run_here(decisions_of(clips, np.arange(len(clips)), earlier, params), clips.vectors)


def decisions_of(clips: Clips, members: Positions, earlier: Decisions, params: DedupParams) -> Deciding[Decisions]:
    """The decisions for the members: those of `earlier`, and new ones where it leaves a clip undecided.

    A group is a kept clip and the removed clips that are nearest to it.
    """
    min_similarity = similarity_threshold(params.eps)
    kept = earlier.kept.copy()
    undecided = members[earlier.is_undecided[members]]
    found = yield NearestSearch(undecided, np.flatnonzero(kept))
    uncovered = undecided[~(found["similarity"].to_numpy() >= min_similarity)]  # NaN where nothing is kept yet
    forest = Forest(len(uncovered))
    edges = yield ComponentSearch(uncovered, min_similarity)
    forest.connect(edges["left"].to_numpy(), edges["right"].to_numpy())
    kept[keep_independent(clips, uncovered, forest.roots(), min_similarity, params)] = True
    return (yield from _assign_groups(members, earlier, kept))


def _assign_groups(members: Positions, earlier: Decisions, kept: np.ndarray) -> Deciding[Decisions]:
    """Decisions with the nearest kept clip of every member.

    Where the earlier nearest clip is still kept, only newly kept clips are compared.
    """
    newly_kept = np.flatnonzero(kept & ~earlier.kept)
    known = ~earlier.is_undecided & (earlier.nearest >= 0) & kept[earlier.nearest]
    nearest = np.where(known, earlier.nearest, -1)
    similarity = np.where(known, earlier.similarity, np.nan)
    for queries, targets in (
        (np.flatnonzero(known), newly_kept),
        (members[~known[members]], np.flatnonzero(kept)),
    ):
        found = yield NearestSearch(queries, targets)
        position, value = found["nearest"].to_numpy(), found["similarity"].to_numpy()
        better = (position >= 0) & ~(value <= similarity[queries])
        nearest[queries[better]] = position[better]
        similarity[queries[better]] = value[better]
    return Decisions(np.where(kept, np.arange(len(kept)), nearest), nearest, similarity)
