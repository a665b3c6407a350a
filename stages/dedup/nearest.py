"""The search for the nearest target of each query."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.arrays import Positions, VectorSource
from stages.dedup.scan import PROBES, Products, is_by_lists, num_products, products
from stages.dedup.searches import VECTORS, SearchedIn
from stages.dedup.shot_pieces import ShotPieces
from stages.dedup.similarity import MARGIN, exact_similarity

How = Literal["exact", "queries", "targets"]
"""Every query is compared with every target; or queries go through the lists of targets; or targets, which are few,
through the lists of queries."""
FEW = 16
"""Targets go through lists where there are so many times as many queries."""
CANDIDATES = 8
"""Targets nearest in float32, of which the nearest by exact similarity is chosen."""


@dataclass(frozen=True)
class NearestSearch:
    """Finds the nearest target of each query, other than itself; of equally near ones the oldest.

    It finds ``nearest``, the target's position, and ``similarity``, which is exact, one row a query; -1 and NaN where
    there is no target.

    Attributes:
        queries: positions of clips, in ascending order.
        targets: positions of clips, in ascending order.
        whole_queries: number of queries of the whole search, where this is a part of one; it decides about lists.
        pieces: of one shot, which are not compared with each other; None where there are none.
        floor: float64, one value a query: targets that are less similar do not count; None where all do.
    """

    searched_in: ClassVar[SearchedIn] = VECTORS

    queries: Positions
    targets: Positions
    whole_queries: int = 0
    pieces: ShotPieces | None = None
    floor: NDArray[np.float64] | None = None

    def cost(self, vectors: VectorSource) -> float:
        """See `Search.cost`."""
        probing, probed = len(self.queries), len(self.targets)
        if self._how(vectors) == "targets":
            probing, probed = probed, probing
        return num_products(vectors, probing, probed, self._probes(vectors)) * vectors.shape[1]

    def parts(self, count: int) -> Sequence["NearestSearch"]:
        """The search, for some of the queries each."""
        whole = self._num_queries()
        parts = [part for part in np.array_split(np.arange(len(self.queries)), count) if len(part)]
        floors = [None if self.floor is None else self.floor[part] for part in parts]
        return [
            NearestSearch(self.queries[part], self.targets, whole, self.pieces, floor)
            for part, floor in zip(parts, floors, strict=True)
        ]

    def run(self, vectors: VectorSource) -> pa.Table:
        """Nearest targets and similarities."""
        how, probes = self._how(vectors), self._probes(vectors)
        nearest, similarity = nearest_targets(vectors, self.queries, self.targets, how, probes, self.pieces, self.floor)
        return pa.table({"nearest": nearest, "similarity": similarity})

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """The tables one after another."""
        return pa.concat_tables(found)

    def _num_queries(self) -> int:
        return self.whole_queries or len(self.queries)

    def _how(self, vectors: VectorSource) -> How:
        """Of the whole search, so that parts of it look at the same pairs."""
        if not is_by_lists(vectors, float(self._num_queries()) * len(self.targets)):
            return "exact"
        return "targets" if len(self.targets) * FEW < self._num_queries() else "queries"

    def _probes(self, vectors: VectorSource) -> int:
        """Lists that each goes through; more where few look for one that is kept, and are not looked for."""
        if self._how(vectors) == "exact":
            return 0
        return PROBES * 2 if self._num_queries() * FEW < len(self.targets) else PROBES


def nearest_targets(
    vectors: VectorSource,
    queries: Positions,
    targets: Positions,
    how: How = "exact",
    probes: int = 0,
    pieces: ShotPieces | None = None,
    floor: NDArray[np.float64] | None = None,
) -> tuple[Positions, NDArray[np.float64]]:
    """The nearest target of each query, other than itself, and the exact similarity; -1 and NaN where there is none.

    Of equally near targets the older one is returned.

    Args:
        vectors: of all clips.
        queries: positions.
        targets: positions in ascending order.
        how: see `How`.
        probes: number of lists that each query, or each target, goes through.
        pieces: see `NearestSearch`.
        floor: see `NearestSearch`.
    """
    nearest, similarity = np.full(len(queries), -1, np.int64), np.full(len(queries), np.nan)
    if not len(queries) or not len(targets):
        return nearest, similarity
    best = np.full(len(queries), -np.inf, np.float32)
    if floor is not None:
        best[:] = floor
    blocks = _products(vectors, queries, targets, how, probes)
    none = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    candidates = [none, *(_candidates(block, queries, best, pieces) for block in blocks)]
    rows, found, values = (np.concatenate(column) for column in zip(*candidates, strict=True))
    near = values >= best[rows] - MARGIN
    rows, found, values = rows[near], found[near], values[near]
    chosen = _first_of_each(rows, np.lexsort((found, -values, rows)), CANDIDATES)
    rows, found = rows[chosen], found[chosen]
    exact = pair_similarity(vectors, queries[rows], found)
    chosen = _first_of_each(rows, np.lexsort((found, -exact, rows)), 1)
    nearest[rows[chosen]], similarity[rows[chosen]] = found[chosen], exact[chosen]
    return nearest, similarity


def _products(
    vectors: VectorSource, queries: Positions, targets: Positions, how: How, probes: int
) -> Iterator[Products]:
    if how != "targets":
        yield from products(vectors, queries, targets, probes)
        return
    for rows, found, values in products(vectors, targets, queries, probes):
        yield Products(np.searchsorted(queries, found), targets[rows], values.T.copy())


def _candidates(
    block: Products, queries: Positions, best: NDArray[np.float32], pieces: ShotPieces | None
) -> tuple[Positions, Positions, NDArray[np.float32]]:
    """Queries, targets and values that may be the nearest so far; `best` is brought up to date."""
    rows, targets, values = block
    place = np.searchsorted(targets, queries[rows])
    itself = np.flatnonzero((place < len(targets)) & (targets[np.minimum(place, len(targets) - 1)] == queries[rows]))
    values[itself, place[itself]] = -np.inf
    if pieces is not None:
        pieces.mask(values, queries[rows], targets)
    highest = values.max(axis=1)
    best[rows] = np.maximum(best[rows], highest)
    near = np.flatnonzero((highest >= best[rows] - MARGIN) & (highest > -np.inf))
    some, columns = np.nonzero(values[near] >= (best[rows[near]] - MARGIN)[:, None])
    hits = values[near[some], columns]
    if len(some) > CANDIDATES * len(near):  # very many equal clips
        chosen = _first_of_each(some, np.lexsort((columns, -hits, some)), CANDIDATES)
        some, columns, hits = some[chosen], columns[chosen], hits[chosen]
    return rows[near[some]], targets[columns], hits


def _first_of_each(rows: Positions, order: Positions, count: int) -> Positions:
    """Of elements in an order that begins with their row, the first `count` of each row."""
    ordered = rows[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(np.append(starts, len(ordered)))
    return order[np.arange(len(ordered)) - np.repeat(starts, sizes) < count]


def pair_similarity(vectors: VectorSource, left: Positions, right: Positions) -> NDArray[np.float64]:
    """Exact similarity of each pair of positions."""
    parts: Iterator[NDArray[np.float64]] = (
        exact_similarity(vectors[left[start : start + 4096]], vectors[right[start : start + 4096]])
        for start in range(0, len(left), 4096)
    )
    return np.concatenate([np.empty(0), *parts])
