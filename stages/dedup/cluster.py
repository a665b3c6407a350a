"""Mode `cluster`: k-means, and NeMo Curator's pairwise rule inside each cluster.

The clips of a cluster are ranked, those that an earlier run kept first. A clip's score is its highest similarity to a
clip of a higher rank; the clip is removed where the score is at least 1 - eps. As in NeMo Curator, duplicates in
different clusters are not found, and a clip may be removed because of a removed clip, which `nearest` then names.
"""

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import DECIMALS, Clips, Decisions, Positions, Vectors, normalized
from stages.dedup.kmeans import kmeans
from stages.dedup.ranking import order_by_preference
from stages.dedup.searches import Deciding
from stages.dedup.similarity import exact_similarity, similarity_threshold
from stages.params import DedupParams

QUERY_BATCH = 256
"""Rows of one product with all clips of a cluster."""


def decisions_of(clips: Clips, members: Positions, earlier: Decisions, params: DedupParams) -> Deciding[Decisions]:
    """The decisions for the members: those of `earlier`, and new ones where it leaves a clip undecided."""
    yield from ()  # k-means goes through all vectors again and again: it has no part that another worker could do
    if not len(members):
        return Decisions.undecided(len(clips))
    return decide(clips.take(members), earlier.take(members), params).placed(members, len(clips))


def decide(clips: Clips, earlier: Decisions, params: DedupParams) -> Decisions:
    """The decisions for all clips, of which there is at least one: those of `earlier`, and new ones."""
    vectors: Vectors = clips.vectors[np.arange(len(clips))]
    labels, centres = kmeans(vectors, min(params.num_clusters, len(clips)), params.seed)
    distance = 1.0 - exact_similarity(vectors, centres[labels])
    group = np.where(earlier.kept, earlier.group, -1)
    nearest, similarity = np.full(len(clips), -1, np.int64), np.full(len(clips), np.nan)
    removed = ~earlier.is_undecided & ~earlier.kept
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero((labels == label) & ~removed)
        ordered = order_by_preference(clips, members, distance[members], params)
        ranked = np.concatenate([ordered[earlier.kept[ordered]], ordered[~earlier.kept[ordered]]])
        scores, before = most_similar_before(vectors[ranked])
        nearest[ranked[1:]], similarity[ranked[1:]] = ranked[before[1:]], scores[1:]
        _assign_groups(group, ranked, before, is_duplicate(scores, params.eps))
    group[removed] = nearest[removed] = earlier.group[removed]
    similarity[removed] = exact_similarity(vectors[removed], vectors[earlier.group[removed]])
    return Decisions(group, nearest, similarity)


def most_similar_before(ranked: Vectors) -> tuple[NDArray[np.float64], Positions]:
    """For vectors in order of rank: the highest similarity to an earlier vector, and the position of that one.

    The first vector has the score 0 and its own position. Of equal similarities the position is that of the highest
    rank. Memory grows with the number of vectors, not with its square.
    """
    scores, positions = np.zeros(len(ranked)), np.zeros(len(ranked), np.int64)
    directions = normalized(ranked)
    for start in range(0, len(ranked), QUERY_BATCH):
        block = directions[start : start + QUERY_BATCH]
        values = np.round(block @ directions[: start + len(block)].T, DECIMALS)
        values[np.arange(values.shape[1]) >= np.arange(start, start + len(block))[:, None]] = -np.inf
        positions[start : start + len(block)] = values.argmax(axis=1)
        scores[start : start + len(block)] = values.max(axis=1)
        heartbeat.beat()
        heartbeat.count("dedup_lookups", len(block))
    scores[:1] = 0.0
    return scores, positions


def is_duplicate(scores: NDArray[np.float64], eps: float) -> NDArray[np.bool_]:
    """Bool ``[M]``: the clip of a cluster is removed. The first clip never is."""
    removed = scores >= similarity_threshold(eps)
    removed[:1] = False
    return removed


def _assign_groups(group: Positions, ranked: Positions, before: Positions, removed: NDArray[np.bool_]) -> None:
    """Set the group of each clip of a cluster: the kept clip at the end of its chain of `before`."""
    for rank, position in enumerate(ranked):
        if group[position] != position:  # a clip that an earlier run kept stays kept
            group[position] = group[ranked[before[rank]]] if removed[rank] else position
