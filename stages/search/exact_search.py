"""The nearest of many vectors, exactly: every one is looked at, with faiss, block by block in bounded memory."""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from stages.dedup import MARGIN, VectorStore, exact_similarity

BLOCK_BYTES = 64 << 20
"""Of vectors that are looked at together."""
SPARE = 16
"""Candidates in float32 beyond those that are wanted, of which exact similarities choose."""

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Nearest:
    """The nearest vectors of one query, the most similar first; of equally similar ones, those of lower position.

    Attributes:
        positions: int64 ``[K]``.
        similarity: float64 ``[K]``, exact to a rounding.
    """

    positions: Positions
    similarity: NDArray[np.float64]


def nearest_vectors(vectors: VectorStore, targets: Positions, query: NDArray[np.float32], count: int) -> Nearest:
    """The vectors that are nearest to a query.

    Args:
        vectors: of which some are searched.
        targets: positions of these, in ascending order.
        query: float32 ``[D]``.
        count: how many are wanted; fewer where there are fewer.
    """
    spare = SPARE
    while True:
        values, found = candidates(vectors, targets, query[None], count + spare)
        values, found = values[0], found[0]
        exact = exact_similarity(vectors[found], np.broadcast_to(query, (len(found), len(query))))
        order = np.lexsort((found, -exact))
        # Products in float32 are off by less than the margin: what they left out is farther than all that is returned.
        is_sure = len(found) == len(targets) or values[-1] < exact[order][count - 1] - MARGIN
        if is_sure:
            return Nearest(found[order][:count], exact[order][:count])
        spare *= 8


def candidates(
    vectors: VectorStore, targets: Positions, queries: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], Positions]:
    """Of each query, the targets of the largest products in float32, in falling order.

    Args:
        vectors: of which some are searched.
        targets: positions of these, in ascending order.
        queries: float32 ``[Q, D]``.
        count: how many; fewer where there are fewer.

    Returns:
        Products, float32 ``[Q, K]``, and positions, int64 ``[Q, K]``.
    """
    best = np.empty((len(queries), 0), np.float32)
    found = np.empty((len(queries), 0), np.int64)
    rows = max(1, BLOCK_BYTES // (4 * max(1, vectors.shape[1])))
    for start in range(0, len(targets), rows):
        block = targets[start : start + rows]
        library: Any = faiss  # its stubs know no helper in Python
        values, places = library.knn(queries, vectors[block], min(count, len(block)), library.METRIC_INNER_PRODUCT)
        best, found = np.concatenate([best, values], 1), np.concatenate([found, block[places]], 1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best, found = np.take_along_axis(best, order, 1), np.take_along_axis(found, order, 1)
    return best, found
