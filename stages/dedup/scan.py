"""Products of very many vectors with very many others, block by block, in bounded memory.

    exact       every query with every target
    by lists    above `EXACT_CLIPS` clips: every query with the targets in the lists that are nearest to it

Which of the two it is depends on the number of clips and on the size of the whole search, never on who does which part.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import Positions, Vectors, VectorSource
from stages.dedup.device import multiply
from stages.dedup.lists import ListedVectors

QUERY_BLOCK = 1024
TARGET_BLOCK = 4096
"""Vectors of one product: its result has 16 MiB."""
LISTED_QUERIES = 1 << 16
"""Queries whose lists are gone through together."""
PROBES = 32
"""Lists that a query goes through."""
EXACT_PAIRS = 10**9
"""Pairs of queries and targets up to which a search is exact, even where there are lists."""


class Products(NamedTuple):
    """Products of some queries with some targets.

    Attributes:
        rows: int64 ``[R]``, which of the queries, ascending.
        targets: int64 ``[T]``, positions of the targets, ascending.
        values: float32 ``[R, T]``, cosine similarities, exact to about 1e-6.
    """

    rows: Positions
    targets: Positions
    values: NDArray[np.float32]


def is_by_lists(vectors: VectorSource, num_pairs: float) -> bool:
    """True where a search over so many pairs of queries and targets goes by lists."""
    return isinstance(vectors, ListedVectors) and num_pairs > EXACT_PAIRS


def num_products(vectors: VectorSource, num_queries: int, num_targets: int, probes: int) -> float:
    """About how many pairs `products` multiplies."""
    if probes and isinstance(vectors, ListedVectors):
        count = vectors.lists.num_lists
        return float(num_queries) * (count + min(1.0, probes / count) * num_targets)
    return float(num_queries) * num_targets


def products(vectors: VectorSource, queries: Positions, targets: Positions, probes: int) -> Iterator[Products]:
    """Products of each query with each target, or with those that lie near it.

    Args:
        vectors: of all clips.
        queries: positions.
        targets: positions in ascending order.
        probes: number of lists that each query goes through; 0 for exact.
    """
    if probes and isinstance(vectors, ListedVectors):
        yield from _products_by_lists(vectors, queries, targets, probes)
        return
    for start in range(0, len(queries), QUERY_BLOCK):
        rows = np.arange(start, min(start + QUERY_BLOCK, len(queries)))
        yield from _product(vectors, rows, vectors[queries[rows]], targets)
        heartbeat.count("dedup_lookups", len(rows))


def _products_by_lists(
    vectors: ListedVectors, queries: Positions, targets: Positions, probes: int
) -> Iterator[Products]:
    lists = vectors.lists
    is_target = np.zeros(len(vectors), bool)
    is_target[targets] = True
    for start in range(0, len(queries), LISTED_QUERIES):
        rows = np.arange(start, min(start + LISTED_QUERIES, len(queries)))
        left = vectors[queries[rows]]
        for number, probing in lists.probed_by(left, probes):
            members = lists.members(number)
            members = members[is_target[members]]
            for first in range(0, len(probing), QUERY_BLOCK) if len(members) else ():
                some = probing[first : first + QUERY_BLOCK]
                yield from _product(vectors, rows[some], left[some], members)
        heartbeat.count("dedup_lookups", len(rows))


def _product(vectors: VectorSource, rows: Positions, left: Vectors, targets: Positions) -> Iterator[Products]:
    for first in range(0, len(targets), TARGET_BLOCK):
        block = targets[first : first + TARGET_BLOCK]
        yield Products(rows, block, multiply(left, vectors[block]))
        heartbeat.beat()
