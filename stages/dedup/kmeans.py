"""k-means with faiss for the assignment, and a heartbeat: a long one call could not tell a hang from work."""

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.clips import Places, Vectors

ITERATIONS = 300
TOLERANCE = 1e-4
"""Stop once the centres move, squared and summed, by less than this share of the variance: NeMo Curator's values."""


def kmeans(vectors: Vectors, count: int, seed: int) -> tuple[Places, Vectors]:
    """Label of each vector, int64 ``[N]``, and the centres, float32 ``[count, D]``.

    Begins with k-means++, drawn by `seed`; ends at the same clusters for the same vectors in the same order.
    """
    centres = _spread(vectors, count, np.random.default_rng(seed))
    limit = TOLERANCE * float(vectors.var(axis=0).mean())
    labels = _nearest(vectors, centres)[0]
    for _ in range(ITERATIONS):
        moved = _means(vectors, labels, centres)
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        labels = _nearest(vectors, centres)[0]
        if shift <= limit:
            break
    return labels, centres


def _spread(vectors: Vectors, count: int, random: np.random.Generator) -> Vectors:
    """k-means++: each further centre is drawn with a chance that grows with its squared distance from the others.

    Of a few draws the best is taken, as is usual, so that a bad start is rare.
    """
    draws = 2 + int(np.log(count))
    chosen = [int(random.integers(len(vectors)))]
    squared = _nearest(vectors, vectors[chosen])[1]
    while len(chosen) < count:
        total = squared.sum(dtype=np.float64)
        chances = squared / total if total > 0 else None
        candidates = random.choice(len(vectors), draws, p=chances)
        reached = [np.minimum(squared, _nearest(vectors, vectors[[place]])[1]) for place in candidates]
        best = int(np.argmin([distances.sum() for distances in reached]))
        squared = reached[best]
        chosen.append(int(candidates[best]))
    return vectors[chosen]


def _nearest(vectors: Vectors, centres: Vectors) -> tuple[Places, NDArray[np.float64]]:
    """Nearest centre of each vector, and the squared distance to it."""
    index = faiss.IndexFlatL2(centres.shape[1])
    if faiss.get_num_gpus() > 0:
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(np.ascontiguousarray(centres))
    labels, squared = np.empty(len(vectors), np.int64), np.empty(len(vectors))
    for start in range(0, len(vectors), 4096):
        distances, places = index.search(vectors[start : start + 4096], 1)
        labels[start : start + 4096] = places[:, 0]
        squared[start : start + 4096] = np.maximum(distances[:, 0], 0)
        heartbeat.beat()
    return labels, squared


def _means(vectors: Vectors, labels: Places, centres: Vectors) -> Vectors:
    """Mean of each cluster; the old centre where it is empty."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    moved = centres.copy()
    for label, members in zip(present, np.split(order, starts[1:]), strict=True):
        moved[label] = vectors[members].mean(axis=0, dtype=np.float64)
    return moved
