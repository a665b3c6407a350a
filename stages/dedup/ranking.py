"""Orders the clips of a group by the rule `dedup.keep`, best first."""

import numpy as np
from numpy.typing import NDArray

from stages.dedup.arrays import DECIMALS, Clips, Positions, Vectors, normalized
from stages.params import DedupParams
from stages.storage import digest


def order_by_preference(
    clips: Clips, members: Positions, distance: NDArray[np.float64], params: DedupParams
) -> Positions:
    """The members, best first. Of equal members the older clip comes first.

    Args:
        clips: all clips.
        members: positions of the clips to order.
        distance: float64, distance of each member to the centre of its group.
        params: `keep`, and `seed` or `rank_by`.
    """
    if params.keep == "rank":
        keys = [clips.ranking[members, column] for column in range(clips.ranking.shape[1])]
    elif params.keep == "random":
        keys = [np.array([_random_key(params.seed, clips.ids[position]) for position in members], np.int64)]
    else:
        rounded = np.round(distance, DECIMALS)
        keys = [-rounded if params.keep == "farthest" else rounded]
    return members[np.lexsort((members, *reversed(keys)))]


def _random_key(seed: int, clip_id: str) -> int:
    """A pseudo-random number from seed and id. It depends neither on the order of rows nor on other clips."""
    return int(digest(str(seed), clip_id, length=15), 16)


def distance_to_mean(vectors: Vectors) -> NDArray[np.float64]:
    """Float64 ``[M]``: cosine distance of each of ``[M, D]`` vectors to the direction of their mean."""
    directions = normalized(vectors)  # in float32 two clips could differ in their distance to their mean
    return 1.0 - directions @ normalized(directions.mean(axis=0, keepdims=True))[0]


def ranks(clips: Clips, group: Positions, params: DedupParams) -> Positions:
    """Int64 ``[N]``: rank in the clip's group; 0 for the kept clip, from 1 in order of preference for the others."""
    rank = np.zeros(len(group), np.int64)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-2))
    for members in np.split(order, starts[1:]) if len(order) else []:
        if len(members) > 1:
            ordered = order_by_preference(clips, members, distance_to_mean(clips.vectors[members]), params)
            rank[ordered[ordered != group[members[0]]]] = np.arange(1, len(members))
    return rank
