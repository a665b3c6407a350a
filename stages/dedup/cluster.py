"""Mode `cluster`: k-means, and inside each cluster NeMo Curator's pairwise rule.

Clips of a cluster are ranked, kept ones of earlier runs first; a clip's score is its highest similarity to any clip
ranked before it, and it is removed from 1 - eps on. As there, duplicates in different clusters are not found,
and a clip may be removed because of one that is itself removed: `nearest` is then a removed clip.
"""

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.clips import DIGITS, Clips, Decisions, Places, Vectors, unit
from stages.dedup.kmeans import kmeans
from stages.dedup.ranking import preference
from stages.dedup.similarity import QUERIES, exact, threshold
from stages.params import DedupParams


def decide(clips: Clips, standing: Decisions, params: DedupParams) -> Decisions:
    """Decide what is open; what stands stays."""
    labels, centres = kmeans(clips.vectors, min(params.num_clusters, len(clips)), params.seed)
    distance = 1.0 - exact(clips.vectors, centres[labels])
    group = np.where(standing.kept, standing.group, -1)
    nearest, similarity = np.full(len(clips), -1, np.int64), np.full(len(clips), np.nan)
    gone = ~standing.is_open & ~standing.kept
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero((labels == label) & ~gone)
        liked = preference(clips, members, distance[members], params)
        ranked = np.concatenate([liked[standing.kept[liked]], liked[~standing.kept[liked]]])
        scores, before = pairwise(clips.vectors[ranked])
        nearest[ranked[1:]], similarity[ranked[1:]] = ranked[before[1:]], scores[1:]
        _follow(group, ranked, before, is_duplicate(scores, params.eps))
    group[gone] = nearest[gone] = standing.group[gone]
    similarity[gone] = exact(clips.vectors[gone], clips.vectors[standing.group[gone]])
    return Decisions(group, nearest, similarity)


def pairwise(ranked: Vectors) -> tuple[NDArray[np.float64], Places]:
    """For vectors in order of rank: highest similarity to one before, and its place; 0 and itself for the first.

    Memory grows with the number of vectors, not with its square. Between equals, the one ranked first.
    """
    scores, places = np.zeros(len(ranked)), np.zeros(len(ranked), np.int64)
    directions = unit(ranked)
    for start in range(0, len(ranked), QUERIES):
        block = directions[start : start + QUERIES]
        values = np.round(block @ directions[: start + len(block)].T, DIGITS)
        values[np.arange(values.shape[1]) >= np.arange(start, start + len(block))[:, None]] = -np.inf
        places[start : start + len(block)] = values.argmax(axis=1)
        scores[start : start + len(block)] = values.max(axis=1)
        heartbeat.beat()
        heartbeat.count("dedup_lookups", len(block))
    scores[:1] = 0.0
    return scores, places


def is_duplicate(scores: NDArray[np.float64], eps: float) -> NDArray[np.bool_]:
    """Bool ``[M]``: the clips of one cluster that go; never the first."""
    gone = scores >= threshold(eps)
    gone[:1] = False
    return gone


def _follow(group: Places, ranked: Places, before: Places, gone: NDArray[np.bool_]) -> None:
    """Write the group of each clip of a cluster: the kept clip at the end of its chain of nearest ones."""
    for position, place in enumerate(ranked):
        if group[place] != place:  # what an earlier run kept stays
            group[place] = group[ranked[before[position]]] if gone[position] else place
