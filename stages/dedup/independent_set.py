"""Chooses which clips of each group of near-duplicates are kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import DECIMALS, Clips, Positions, VectorSource, normalized
from stages.dedup.nearest import nearest_targets, pair_similarity
from stages.dedup.ranking import order_groups
from stages.dedup.shot_pieces import ShotPieces
from stages.params import DedupParams

BLOCK = 1024


@dataclass(frozen=True)
class Chosen:
    """Which clips of groups of near-duplicates are kept.

    Attributes:
        kept: positions.
        removed: positions of the others.
        nearest: for each removed clip, the position of the nearest kept one of its component.
        similarity: float64, exact similarity to it.
    """

    kept: Positions
    removed: Positions
    nearest: Positions
    similarity: NDArray[np.float64]


def choose_independent(
    clips: Clips,
    members: Positions,
    components: Positions,
    min_similarity: float,
    params: DedupParams,
    pieces: ShotPieces | None = None,
) -> Chosen:
    """Keep in each component, by preference, the members that are no near-duplicate of one kept before.

    Args:
        clips: all clips.
        members: positions of clips.
        components: for each member, the number of its connected component of near-duplicates.
        min_similarity: of near-duplicates.
        params: of the rule of preference.
        pieces: of one shot, which are no near-duplicates of each other; None where there are none.
    """
    _, number, sizes = np.unique(components, return_inverse=True, return_counts=True)
    alone = sizes[number] == 1
    shared = np.flatnonzero(~alone)
    ordered = order_groups(clips, members[shared], number[shared], params)
    of_position = np.zeros(len(clips), np.int64)
    of_position[members[shared]] = number[shared]
    starts = np.flatnonzero(np.diff(of_position[ordered], prepend=-1))
    pairs, others = _split_by_size(ordered, starts)
    first, second = pairs[:, 0], pairs[:, 1]
    nothing = np.empty(0, np.int64)
    parts = [
        Chosen(members[alone], nothing, nothing, np.empty(0)),
        Chosen(first, second, first, pair_similarity(clips.vectors, second, first)),
    ]
    for component in others:
        kept = np.sort(greedy_independent_set(clips.vectors, component, min_similarity, pieces))
        removed = np.setdiff1d(component, kept)
        parts.append(Chosen(kept, removed, *nearest_targets(clips.vectors, removed, kept, pieces=pieces)))
        heartbeat.beat()
    return Chosen(
        np.concatenate([part.kept for part in parts]),
        np.concatenate([part.removed for part in parts]),
        np.concatenate([part.nearest for part in parts]),
        np.concatenate([part.similarity for part in parts]),
    )


def _split_by_size(ordered: Positions, starts: Positions) -> tuple[Positions, list[Positions]]:
    """Components of two, ``[P, 2]``, whose members are near-duplicates of each other; and the larger ones."""
    sizes = np.diff(np.append(starts, len(ordered)))
    first = starts[sizes == 2]
    others = [ordered[start : start + size] for start, size in zip(starts, sizes, strict=True) if size > 2]
    return np.stack([ordered[first], ordered[first + 1]], axis=1), others


def greedy_independent_set(
    vectors: VectorSource, order: Positions, min_similarity: float, pieces: ShotPieces | None = None
) -> Positions:
    """Maximal independent set of the graph of near-duplicates, chosen greedily.

    Args:
        vectors: of all clips.
        order: positions to choose from, in order of preference. A position is chosen if no near-duplicate of it is.
        min_similarity: of near-duplicates.
        pieces: see `choose_independent`.
    """
    chosen = np.empty(0, np.int64)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        if len(chosen):
            _, similarity = nearest_targets(vectors, block, np.sort(chosen), pieces=pieces)
            block = block[~(similarity >= min_similarity)]  # NaN where all chosen ones are pieces of its shot
        directions = normalized(vectors[block])
        values = np.round(directions @ directions.T, DECIMALS)
        if pieces is not None:
            pieces.mask(values, block, block)
        near = values >= min_similarity
        free = np.ones(len(block), bool)
        for position in range(len(block)):
            if free[position]:
                free[position + 1 :] &= ~near[position, position + 1 :]
        chosen = np.concatenate([chosen, block[free]])
        heartbeat.beat()
    return chosen
