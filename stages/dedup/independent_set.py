"""Chooses which clips of each group of near-duplicates are kept."""

import numpy as np

from stages import heartbeat
from stages.dedup.arrays import DECIMALS, Clips, Positions, VectorSource, normalized
from stages.dedup.nearest import nearest_targets
from stages.dedup.ranking import order_groups
from stages.params import DedupParams

BLOCK = 1024


def keep_independent(
    clips: Clips, members: Positions, components: Positions, min_similarity: float, params: DedupParams
) -> Positions:
    """The members to keep: in each component, by preference, those that are no near-duplicate of one kept before.

    Args:
        clips: all clips.
        members: positions of clips.
        components: for each member, the number of its connected component of near-duplicates.
        min_similarity: of near-duplicates.
        params: of the rule of preference.
    """
    _, number, sizes = np.unique(components, return_inverse=True, return_counts=True)
    alone = sizes[number] == 1
    shared = np.flatnonzero(~alone)
    ordered = order_groups(clips, members[shared], number[shared], params)
    of_position = np.zeros(len(clips), np.int64)
    of_position[members[shared]] = number[shared]
    starts = np.flatnonzero(np.diff(of_position[ordered], prepend=-1))
    kept = [members[alone]]
    for component in np.split(ordered, starts[1:]) if len(ordered) else []:
        # Two that are connected are near-duplicates of each other.
        pair = len(component) == 2
        kept.append(component[:1] if pair else greedy_independent_set(clips.vectors, component, min_similarity))
        heartbeat.beat()
    return np.sort(np.concatenate(kept))


def greedy_independent_set(vectors: VectorSource, order: Positions, min_similarity: float) -> Positions:
    """Maximal independent set of the graph of near-duplicates, chosen greedily.

    Args:
        vectors: of all clips.
        order: positions to choose from, in order of preference. A position is chosen if no near-duplicate of it is.
        min_similarity: of near-duplicates.
    """
    chosen = np.empty(0, np.int64)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        if len(chosen):
            _, similarity = nearest_targets(vectors, block, np.sort(chosen))
            block = block[similarity < min_similarity]
        directions = normalized(vectors[block])
        near = np.round(directions @ directions.T, DECIMALS) >= min_similarity
        free = np.ones(len(block), bool)
        for position in range(len(block)):
            if free[position]:
                free[position + 1 :] &= ~near[position, position + 1 :]
        chosen = np.concatenate([chosen, block[free]])
        heartbeat.beat()
    return chosen
