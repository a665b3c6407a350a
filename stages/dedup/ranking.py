"""Which clip of several comes first, by the rule `dedup.keep`."""

import numpy as np
from numpy.typing import NDArray

from stages.dedup.clips import DIGITS, Clips, Places, Vectors, unit
from stages.params import DedupParams
from stages.storage import digest


def preference(clips: Clips, members: Places, distance: NDArray[np.float64], params: DedupParams) -> Places:
    """The members, best first; between equals the older clip.

    Args:
        clips: all clips.
        members: places of those to order.
        distance: float64, of each member from the middle of its group.
        params: `keep`, and `seed` or `rank_by`.
    """
    if params.keep == "rank":
        keys = [clips.ranking[members, column] for column in range(clips.ranking.shape[1])]
    elif params.keep == "random":
        keys = [np.array([_lot(params.seed, clips.ids[place]) for place in members], np.int64)]
    else:
        rounded = np.round(distance, DIGITS)
        keys = [-rounded if params.keep == "farthest" else rounded]
    return members[np.lexsort((members, *reversed(keys)))]


def _lot(seed: int, clip_id: str) -> int:
    """Drawn by seed and id, so that it depends neither on the order of rows nor on what else there is."""
    return int(digest(str(seed), clip_id, length=15), 16)


def distance_to_mean(vectors: Vectors) -> NDArray[np.float64]:
    """Float64 ``[M]``: cosine distance of each of ``[M, D]`` vectors to the direction of their mean."""
    directions = unit(vectors)  # float32 alone would let two clips differ in their distance to the middle of both
    return 1.0 - directions @ unit(directions.mean(axis=0, keepdims=True))[0]


def ranks(clips: Clips, group: Places, params: DedupParams) -> Places:
    """Int64 ``[N]``: order of preference in its group; 0 for the kept clip, the others from 1 by the rule."""
    rank = np.zeros(len(group), np.int64)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-2))
    for members in np.split(order, starts[1:]) if len(order) else []:
        if len(members) > 1:
            liked = preference(clips, members, distance_to_mean(clips.vectors[members]), params)
            rank[liked[liked != group[members[0]]]] = np.arange(1, len(members))
    return rank
