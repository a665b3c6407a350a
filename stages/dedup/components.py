"""The search for the connected components of the graph of near-duplicates.

Pairs are not stored: of very many equal clips there are too many. Each part of the search gives a forest that connects
what its pairs connect, with one edge a clip at most, and these are joined.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from stages.dedup.arrays import Positions, VectorSource
from stages.dedup.scan import PROBES, QUERY_BLOCK, Products, is_by_lists, num_products, products
from stages.dedup.searches import VECTORS, SearchedIn
from stages.dedup.shot_pieces import ShotPieces
from stages.dedup.similarity import MARGIN, exact_similarity

MAX_PENDING_PAIRS = 1 << 20


@dataclass(frozen=True)
class ComponentSearch:
    """Finds which of its members are connected by near-duplicates.

    It finds ``left`` and ``right``, numbers of members: edges of a forest.

    Attributes:
        members: positions of clips, in ascending order.
        min_similarity: of near-duplicates.
        first: number of the first member that is compared with all members before it.
        end: number of the first that is not.
        pieces: of one shot, which are no near-duplicates of each other; None where there are none.
    """

    searched_in: ClassVar[SearchedIn] = VECTORS

    members: Positions
    min_similarity: float
    first: int = 0
    end: int = -1
    pieces: ShotPieces | None = None

    def cost(self, vectors: VectorSource) -> float:
        """See `Search.cost`."""
        first, end = self._bounds()
        if self._by_lists(vectors):
            return num_products(vectors, end - first, len(self.members), PROBES) * vectors.shape[1]
        return (end - first) * (first + end) / 2 * vectors.shape[1]

    def parts(self, count: int) -> Sequence["ComponentSearch"]:
        """The search, for some of the members each, with about as many pairs."""
        first, end = self._bounds()
        squares = np.linspace(first**2, end**2, count + 1)
        bounds = np.unique(np.round(np.sqrt(squares)).astype(np.int64)).tolist()
        return [
            ComponentSearch(self.members, self.min_similarity, begin, after, self.pieces)
            for begin, after in itertools.pairwise(bounds)
        ]

    def run(self, vectors: VectorSource) -> pa.Table:
        """Edges of a forest."""
        forest = Forest(len(self.members))
        by_lists = self._by_lists(vectors)
        for queries, (rows, targets, values) in self._products(vectors):
            if self.pieces is not None:
                self.pieces.mask(values, queries[rows], targets)
            near, columns = np.nonzero(values >= self.min_similarity - MARGIN)
            left, right = queries[rows[near]], targets[columns]
            wanted = (left != right) if by_lists else (left > right)
            left, right, found = left[wanted], right[wanted], values[near[wanted], columns[wanted]]
            uncertain = np.flatnonzero(np.abs(found - self.min_similarity) <= MARGIN)
            is_near = found >= self.min_similarity
            exact = exact_similarity(vectors[left[uncertain]], vectors[right[uncertain]])
            is_near[uncertain] = exact >= self.min_similarity
            forest.connect(*(np.searchsorted(self.members, side[is_near]) for side in (left, right)))
        return forest.edges()

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """One forest of all."""
        forest = Forest(len(self.members))
        for edges in found:
            forest.connect(edges["left"].to_numpy(), edges["right"].to_numpy())
        return forest.edges()

    def _products(self, vectors: VectorSource) -> Iterator[tuple[Positions, Products]]:
        """Queries, and their products with other members."""
        first, end = self._bounds()
        if self._by_lists(vectors):  # either of two may probe the list of the other, so newer ones are looked at too
            queries = self.members[first:end]
            for block in products(vectors, queries, self.members, PROBES):
                yield queries, block
            return
        for start in range(first, end, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, end)
            for block in products(vectors, self.members[start:stop], self.members[:stop], 0):
                yield self.members[start:stop], block

    def _by_lists(self, vectors: VectorSource) -> bool:
        return is_by_lists(vectors, float(len(self.members)) ** 2)

    def _bounds(self) -> tuple[int, int]:
        return self.first, len(self.members) if self.end < 0 else self.end


class Forest:
    """Sets of numbers, of which any two can be united (union-find).

    Args:
        count: of numbers, each a set of its own at first.
    """

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)
        self._pending: list[tuple[Positions, Positions]] = []
        self._num_pending = 0

    def connect(self, left: Positions, right: Positions) -> None:
        """Unite the sets of each pair."""
        if len(left):
            self._pending.append((left, right))
            self._num_pending += len(left)
        if self._num_pending >= MAX_PENDING_PAIRS:
            self._unite()

    def roots(self) -> Positions:
        """The lowest number of each number's set."""
        self._unite()
        return self._parent.copy()

    def edges(self) -> pa.Table:
        """Edges that connect each set: ``left`` and ``right``."""
        roots = self.roots()
        left = np.flatnonzero(roots != np.arange(len(roots)))
        return pa.table({"left": left, "right": roots[left]})

    def _unite(self) -> None:
        """Hook each root to a lower one that it is connected with, until there is none; parents become roots."""
        parent = self._parent
        none = np.empty(0, np.int64)
        left, right = (np.concatenate(side) for side in zip((none, none), *self._pending, strict=True))
        self._pending, self._num_pending = [], 0
        while True:
            left, right = parent[left], parent[right]
            apart = left != right
            left, right = left[apart], right[apart]
            if not len(left):
                return
            np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
            while not np.array_equal(flat := parent[parent], parent):
                parent[:] = flat
