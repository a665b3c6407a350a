"""Cosine similarity between very many vectors: faiss searches candidates, exact sums decide.

faiss sums in float32, in an order that depends on sizes and threads. So it finds candidates only, with a margin;
similarities near the threshold are summed again in float64 and rounded. Decisions then do not depend on the order of
rows.
"""

from collections.abc import Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import DECIMALS, Positions, Vectors, normalized

MARGIN = 1e-5
"""Larger than the error of a float32 sum over some thousand products of unit vectors."""
QUERY_BATCH = 256
"""Query vectors of one search: 256 times 100 000 hits are 300 MB, and a search of 100 000 vectors has no more."""
CANDIDATES = 8
"""Nearest neighbours in float32, of which the nearest by exact similarity is chosen."""
GPU_MAX_HITS = 1024
"""Hits per query on a GPU, where faiss has no range search. A query with more hits is searched on the CPU."""

Pairs = tuple[Positions, Positions]


def set_num_threads(count: int) -> None:
    """Set the number of threads of faiss in this process."""
    faiss.omp_set_num_threads(count)


def similarity_threshold(eps: float) -> float:
    """Smallest cosine similarity of near-duplicates."""
    return round(1.0 - eps, DECIMALS)


def exact_similarity(left: Vectors, right: Vectors) -> NDArray[np.float64]:
    """Float64 ``[M]``, rounded: cosine similarity of each row of `left` to the same row of `right`, both ``[M, D]``."""
    dots = np.empty(len(left))
    for start in range(0, len(left), 4096):
        a, b = (side[start : start + 4096].astype(np.float64) for side in (left, right))
        lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
        dots[start : start + 4096] = np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-300)
    return np.round(dots, DECIMALS)


def nearest_targets(vectors: Vectors, queries: Positions, targets: Positions) -> tuple[Positions, NDArray[np.float64]]:
    """The nearest target of each query, other than itself, and the exact similarity; -1 and NaN where there is none.

    Of equally near targets the older one is returned.
    """
    nearest, similarity = np.full(len(queries), -1, np.int64), np.full(len(queries), np.nan)
    if not len(targets) or not len(queries):
        return nearest, similarity
    index = _build_index(vectors[targets])
    count = min(CANDIDATES + 1, len(targets))  # one more, since the query itself may be among the targets
    for start in range(0, len(queries), QUERY_BATCH):
        part = queries[start : start + QUERY_BATCH]
        _, found = index.search(vectors[part], count)
        positions = targets[found]
        values = exact_similarity(np.repeat(vectors[part], count, axis=0), vectors[positions.ravel()]).reshape(
            positions.shape
        )
        values[positions == part[:, None]] = -np.inf
        best = values.max(axis=1)
        oldest = np.where(values == best[:, None], positions, np.iinfo(np.int64).max).min(axis=1)
        found_any = best > -np.inf
        nearest[start : start + QUERY_BATCH][found_any] = oldest[found_any]
        similarity[start : start + QUERY_BATCH][found_any] = best[found_any]
        _count_lookups(len(part))
    return nearest, similarity


def connected_components(vectors: Vectors, members: Positions, min_similarity: float) -> Iterator[Positions]:
    """Connected components of the graph of near-duplicates, oldest first; members of each in their order."""
    parent = np.arange(len(members))
    for left, right in near_duplicate_pairs(vectors[members], min_similarity):
        parent = _union(parent, left, right)
    order = np.argsort(parent, kind="stable")
    starts = np.flatnonzero(np.diff(parent[order], prepend=-1))
    yield from (members[part] for part in np.split(order, starts[1:]) if len(part))


def near_duplicate_pairs(vectors: Vectors, min_similarity: float) -> Iterator[Pairs]:
    """Pairs (left, right) with left > right and a similarity of at least `min_similarity`, in batches."""
    if len(vectors) < 2:
        return
    index = _build_index(vectors[:0])
    for start in range(0, len(vectors), QUERY_BATCH):
        part = np.ascontiguousarray(vectors[start : start + QUERY_BATCH])
        index.add(part)  # later queries find these vectors, so that only half of all pairs are compared
        left, right, values = _hits(index, part, min_similarity - MARGIN)
        left += start
        lower = left > right
        left, right, values = left[lower], right[lower], values[lower]
        uncertain = np.flatnonzero(np.abs(values - min_similarity) <= MARGIN)
        near = values >= min_similarity
        near[uncertain] = exact_similarity(vectors[left[uncertain]], vectors[right[uncertain]]) >= min_similarity
        _count_lookups(len(part))
        yield left[near], right[near]


def greedy_independent_set(vectors: Vectors, order: Positions, min_similarity: float) -> Positions:
    """Maximal independent set of the graph of near-duplicates, chosen greedily.

    Args:
        vectors: of all clips.
        order: positions to choose from, in order of preference. A position is chosen if no near-duplicate of it is.
        min_similarity: of near-duplicates.
    """
    chosen = np.empty(0, np.int64)
    for start in range(0, len(order), 4 * QUERY_BATCH):
        block = order[start : start + 4 * QUERY_BATCH]
        _, similarity = nearest_targets(vectors, block, np.sort(chosen))
        block = block[~(similarity >= min_similarity)]  # NaN where nothing is chosen yet
        directions = normalized(vectors[block])
        near = np.round(directions @ directions.T, DECIMALS) >= min_similarity
        free = np.ones(len(block), bool)
        for position in range(len(block)):
            if free[position]:
                free[position + 1 :] &= ~near[position, position + 1 :]
        chosen = np.concatenate([chosen, block[free]])
        heartbeat.beat()
    return chosen


def _build_index(vectors: Vectors) -> faiss.Index:
    index: faiss.Index = faiss.IndexFlatIP(vectors.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(np.ascontiguousarray(vectors))
    return index


def _hits(
    index: faiss.Index, queries: Vectors, min_similarity: float
) -> tuple[Positions, Positions, NDArray[np.float32]]:
    """Hits of at least `min_similarity`: position of the query, position in the index, similarity in float32."""
    if faiss.get_num_gpus() == 0:
        return range_hits(index, queries, min_similarity)
    return nearest_hits(index, queries, min_similarity, GPU_MAX_HITS)


def range_hits(
    index: faiss.Index, queries: Vectors, min_similarity: float
) -> tuple[Positions, Positions, NDArray[np.float32]]:
    """All hits, by range search, which needs an index in main memory."""
    bounds, values, positions = index.range_search(np.ascontiguousarray(queries), float(min_similarity))
    rows = np.repeat(np.arange(len(queries)), np.diff(bounds.astype(np.int64)))
    return rows, positions.astype(np.int64), values


def nearest_hits(
    index: faiss.Index, queries: Vectors, min_similarity: float, max_hits: int
) -> tuple[Positions, Positions, NDArray[np.float32]]:
    """All hits, by a search for the `max_hits` nearest; queries with as many hits are searched again in main memory."""
    values, positions = index.search(np.ascontiguousarray(queries), min(max_hits, index.ntotal))
    near = values > min_similarity
    full = np.flatnonzero(near.all(axis=1)) if index.ntotal > max_hits else np.empty(0, np.int64)
    near[full] = False
    rows, columns = np.nonzero(near)
    hits = [(rows, positions[rows, columns], values[rows, columns])]
    if len(full):
        cpu_index = faiss.index_gpu_to_cpu(index) if faiss.get_num_gpus() > 0 else index
        few, found, similarity = range_hits(cpu_index, queries[full], min_similarity)
        hits.append((full[few], found, similarity))
    rows, found, similarity = (np.concatenate(column) for column in zip(*hits, strict=True))
    return rows.astype(np.int64), found.astype(np.int64), similarity


def _union(parent: Positions, left: Positions, right: Positions) -> Positions:
    """Parents after the union of pairs (union-find); the parent of each position is the lowest of its set."""
    pairs = np.stack([parent[left], parent[right]], axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    if not len(pairs):
        return parent
    parent = parent.copy()
    for first, second in pairs.tolist():
        a, b = _find_root(parent, first), _find_root(parent, second)
        parent[max(a, b)] = min(a, b)
    while not np.array_equal(flat := parent[parent], parent):
        parent = flat
    return parent


def _find_root(parent: Positions, position: int) -> int:
    while parent[position] != position:
        parent[position] = parent[parent[position]]
        position = int(parent[position])
    return position


def _count_lookups(num_queries: int) -> None:
    heartbeat.beat()
    heartbeat.count("dedup_lookups", num_queries)
