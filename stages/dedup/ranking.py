"""Orders the clips of a group by the rule `dedup.keep`, best first."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stages.dedup.arrays import DECIMALS, Clips, Positions, Vectors, VectorSource, normalized
from stages.dedup.quality import quality_keys
from stages.params import DedupParams
from stages.storage import digest

ROWS_AT_ONCE = 16384
"""Vectors that are held in float64 at once."""


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
    keys = _preference_keys(clips, members, np.zeros(len(members), np.int64), distance, params)
    return members[np.lexsort((members, *reversed(keys)))]


def order_of_all(clips: Clips, members: Positions, params: DedupParams) -> Positions:
    """The members, best first by what they are ranked by; of equal ones in a random order that hangs on their ids."""
    ranking = [clips.ranking[members, column] for column in range(clips.ranking.shape[1])]
    random = np.array([_random_key(params.seed, clips.ids[position]) for position in members.tolist()], np.int64)
    return members[np.lexsort((random, *reversed(ranking)))]


def order_groups(clips: Clips, members: Positions, groups: Positions, params: DedupParams) -> Positions:
    """The members group by group, in each best first.

    Args:
        clips: all clips.
        members: positions of clips.
        groups: number of each member's group.
        params: `keep`, and `seed` or `rank_by`.
    """
    by_group = np.lexsort((members, groups))
    members, groups = members[by_group], groups[by_group]
    by_distance = params.keep in ("farthest", "nearest")
    distance = _distance_in_groups(clips.vectors, members, groups) if by_distance else np.zeros(len(members))
    keys = _preference_keys(clips, members, groups, distance, params)
    return members[np.lexsort((members, *reversed(keys), groups))]


def _preference_keys(
    clips: Clips, members: Positions, groups: Positions, distance: NDArray[np.float64], params: DedupParams
) -> list[NDArray[np.float64] | Positions]:
    """What members, group by group, are ordered by, in order of weight; lower is better."""
    if params.keep == "quality":
        return [*quality_keys(clips.ranking[members], groups)]
    if params.keep == "rank":
        return [clips.ranking[members, column] for column in range(clips.ranking.shape[1])]
    if params.keep == "random":
        return [np.array([_random_key(params.seed, clips.ids[position]) for position in members.tolist()], np.int64)]
    rounded = np.round(distance, DECIMALS)
    return [-rounded if params.keep == "farthest" else rounded]


def _random_key(seed: int, clip_id: str) -> int:
    """A pseudo-random number from seed and id. It depends neither on the order of rows nor on other clips."""
    return int(digest(str(seed), clip_id, length=15), 16)


def distance_to_mean(vectors: Vectors) -> NDArray[np.float64]:
    """Float64 ``[M]``: cosine distance of each of ``[M, D]`` vectors to the direction of their mean."""
    directions = normalized(vectors)  # in float32 two clips could differ in their distance to their mean
    return 1.0 - directions @ normalized(directions.mean(axis=0, keepdims=True))[0]


def _distance_in_groups(vectors: VectorSource, members: Positions, groups: Positions) -> NDArray[np.float64]:
    """Cosine distance of each member to the direction of the mean of its group; members of a group are adjacent."""
    distance = np.empty(len(members))
    for start, end in _whole_groups(groups):
        rows = members[start:end]
        if end - start > ROWS_AT_ONCE:
            distance[start:end] = _distance_in_large_group(vectors, rows)
            continue
        directions = normalized(vectors[rows])
        starts = np.flatnonzero(np.diff(groups[start:end], prepend=-1))
        sizes = np.diff(np.append(starts, end - start))
        means = normalized(np.add.reduceat(directions, starts, axis=0) / sizes[:, None])
        distance[start:end] = 1.0 - np.einsum("ij,ij->i", directions, np.repeat(means, sizes, axis=0))
    return distance


def _whole_groups(groups: Positions) -> Iterator[tuple[int, int]]:
    """Ranges of whole groups, of at most `ROWS_AT_ONCE` rows unless one group has more."""
    bounds = np.append(np.flatnonzero(np.diff(groups, prepend=-1)), len(groups))
    start = 0
    while start < len(groups):
        fitting = int(np.searchsorted(bounds, start + ROWS_AT_ONCE, side="right")) - 1
        end = int(bounds[max(fitting, int(np.searchsorted(bounds, start, side="right")))])
        yield start, end
        start = end


def _distance_in_large_group(vectors: VectorSource, rows: Positions) -> NDArray[np.float64]:
    parts = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
    total = np.sum([normalized(vectors[part]).sum(axis=0) for part in parts], axis=0)
    mean = normalized(total[None] / len(rows))[0]
    return np.concatenate([1.0 - normalized(vectors[part]) @ mean for part in parts])


def ranks(clips: Clips, group: Positions, params: DedupParams) -> Positions:
    """Int64 ``[N]``: rank in the clip's group; 0 for the kept clip, from 1 in order of preference for the others.

    A clip without a group has rank 0.
    """
    rank = np.zeros(len(group), np.int64)
    sizes = np.bincount(group[group >= 0], minlength=len(group))
    members = np.flatnonzero((group >= 0) & (sizes[np.maximum(group, 0)] > 1))
    if not len(members):
        return rank
    ordered = order_groups(clips, members, group[members], params)
    others = ordered[group[ordered] != ordered]
    starts = np.flatnonzero(np.diff(group[others], prepend=-1))
    rank[others] = 1 + np.arange(len(others)) - np.repeat(starts, np.diff(np.append(starts, len(others))))
    return rank
