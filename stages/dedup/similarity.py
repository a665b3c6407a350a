"""Cosine similarity between very many vectors, by faiss where it is a search and exactly where it decides.

faiss sums in float32, in an order that hangs on sizes and threads. So it only finds candidates, with a margin; what
is near the threshold is summed again in float64 and rounded. Decisions then do not depend on the order of rows.
"""

from collections.abc import Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.clips import DIGITS, Places, Vectors, unit

MARGIN = 1e-5
"""More than a float32 sum over some thousand products of unit vectors can be off."""
QUERIES = 256
"""Vectors looked up at once: 256 times 100 000 hits are 300 MB, and there are never more hits than that."""
CANDIDATES = 8
"""Nearest neighbours by float32 among which the exact nearest is chosen."""
GPU_HITS = 1024
"""faiss on a GPU has no range search: so many nearest are asked for, and a vector with more asks the CPU."""

Pairs = tuple[Places, Places]


def use_threads(count: int) -> None:
    """Let faiss keep so many threads busy in this process."""
    faiss.omp_set_num_threads(count)


def threshold(eps: float) -> float:
    """The cosine similarity from which on clips are near-duplicates."""
    return round(1.0 - eps, DIGITS)


def exact(left: Vectors, right: Vectors) -> NDArray[np.float64]:
    """Float64 ``[M]``, rounded: cosine similarity of row to row of two ``[M, D]`` arrays."""
    dots = np.empty(len(left))
    for start in range(0, len(left), 4096):
        a, b = (side[start : start + 4096].astype(np.float64) for side in (left, right))
        lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
        dots[start : start + 4096] = np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-300)
    return np.round(dots, DIGITS)


def nearest_of(vectors: Vectors, queries: Places, targets: Places) -> tuple[Places, NDArray[np.float64]]:
    """For each query its nearest target other than itself, and the exact similarity; -1 and NaN for none.

    Between targets that are equally near, the older.
    """
    nearest, similarity = np.full(len(queries), -1, np.int64), np.full(len(queries), np.nan)
    if not len(targets) or not len(queries):
        return nearest, similarity
    index = _index(vectors[targets])
    count = min(CANDIDATES + 1, len(targets))  # one more, since a query may find itself
    for start in range(0, len(queries), QUERIES):
        part = queries[start : start + QUERIES]
        _, found = index.search(vectors[part], count)
        places = targets[found]
        values = exact(np.repeat(vectors[part], count, axis=0), vectors[places.ravel()]).reshape(places.shape)
        values[places == part[:, None]] = -np.inf
        best = values.max(axis=1)
        oldest = np.where(values == best[:, None], places, np.iinfo(np.int64).max).min(axis=1)
        some = best > -np.inf
        nearest[start : start + QUERIES][some] = oldest[some]
        similarity[start : start + QUERIES][some] = best[some]
        _progress(len(part))
    return nearest, similarity


def components(vectors: Vectors, members: Places, least: float) -> Iterator[Places]:
    """Split the members into sets that chains of near-duplicates hold together, oldest first, each in order."""
    parent = np.arange(len(members))
    for left, right in near_pairs(vectors[members], least):
        parent = _joined(parent, left, right)
    order = np.argsort(parent, kind="stable")
    starts = np.flatnonzero(np.diff(parent[order], prepend=-1))
    yield from (members[part] for part in np.split(order, starts[1:]) if len(part))


def near_pairs(vectors: Vectors, least: float) -> Iterator[Pairs]:
    """Pairs (left, right) with left > right and a similarity of at least `least`, some at a time."""
    if len(vectors) < 2:
        return
    index = _index(vectors[:0])
    for start in range(0, len(vectors), QUERIES):
        part = np.ascontiguousarray(vectors[start : start + QUERIES])
        index.add(part)  # what comes later looks back at this, so half of all pairs are compared
        left, right, values = _within(index, part, least - MARGIN)
        left += start
        lower = left > right
        left, right, values = left[lower], right[lower], values[lower]
        unsure = np.flatnonzero(np.abs(values - least) <= MARGIN)
        near = values >= least
        near[unsure] = exact(vectors[left[unsure]], vectors[right[unsure]]) >= least
        _progress(len(part))
        yield left[near], right[near]


def independent(vectors: Vectors, order: Places, least: float) -> Places:
    """Of places in order of preference, those that have no near-duplicate among the ones taken before them."""
    taken = np.empty(0, np.int64)
    for start in range(0, len(order), 4 * QUERIES):
        block = order[start : start + 4 * QUERIES]
        _, similarity = nearest_of(vectors, block, np.sort(taken))
        block = block[~(similarity >= least)]  # NaN where nothing is taken yet
        directions = unit(vectors[block])
        near = np.round(directions @ directions.T, DIGITS) >= least
        free = np.ones(len(block), bool)
        for place in range(len(block)):
            if free[place]:
                free[place + 1 :] &= ~near[place, place + 1 :]
        taken = np.concatenate([taken, block[free]])
        heartbeat.beat()
    return taken


def _index(vectors: Vectors) -> faiss.Index:
    index: faiss.Index = faiss.IndexFlatIP(vectors.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(np.ascontiguousarray(vectors))
    return index


def _within(index: faiss.Index, queries: Vectors, least: float) -> tuple[Places, Places, NDArray[np.float32]]:
    """Hits of at least `least`: place of the query, place in the index, similarity by float32."""
    if faiss.get_num_gpus() == 0:
        return range_hits(index, queries, least)
    return nearest_hits(index, queries, least, GPU_HITS)


def range_hits(index: faiss.Index, queries: Vectors, least: float) -> tuple[Places, Places, NDArray[np.float32]]:
    """All hits by range search, which only an index in main memory can do."""
    bounds, values, places = index.range_search(np.ascontiguousarray(queries), float(least))
    rows = np.repeat(np.arange(len(queries)), np.diff(bounds.astype(np.int64)))
    return rows, places.astype(np.int64), values


def nearest_hits(
    index: faiss.Index, queries: Vectors, least: float, most: int
) -> tuple[Places, Places, NDArray[np.float32]]:
    """All hits by the `most` nearest; queries whose list is full of hits are searched in main memory."""
    values, places = index.search(np.ascontiguousarray(queries), min(most, index.ntotal))
    near = values > least
    full = np.flatnonzero(near.all(axis=1)) if index.ntotal > most else np.empty(0, np.int64)
    near[full] = False
    rows, columns = np.nonzero(near)
    hits = [(rows, places[rows, columns], values[rows, columns])]
    if len(full):
        inner = faiss.index_gpu_to_cpu(index) if faiss.get_num_gpus() > 0 else index
        few, found, similarity = range_hits(inner, queries[full], least)
        hits.append((full[few], found, similarity))
    rows, found, similarity = (np.concatenate(column) for column in zip(*hits, strict=True))
    return rows.astype(np.int64), found.astype(np.int64), similarity


def _joined(parent: Places, left: Places, right: Places) -> Places:
    """Parents after union of pairs; each place points straight at the lowest of its set."""
    pairs = np.stack([parent[left], parent[right]], axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    if not len(pairs):
        return parent
    parent = parent.copy()
    for first, second in pairs.tolist():
        a, b = _root(parent, first), _root(parent, second)
        parent[max(a, b)] = min(a, b)
    while not np.array_equal(flat := parent[parent], parent):
        parent = flat
    return parent


def _root(parent: Places, place: int) -> int:
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = int(parent[place])
    return place


def _progress(looked_up: int) -> None:
    heartbeat.beat()
    heartbeat.count("dedup_lookups", looked_up)
