"""k-means with faiss for the assignment step.

A heartbeat follows each block of vectors, since one faiss call for all of them would look like a hang.
"""

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import Positions, Vectors

ITERATIONS = 300
TOLERANCE = 1e-4
"""Iterations end when the sum of squared shifts of the centres is at most this share of the mean variance.

Both values are NeMo Curator's.
"""


def kmeans(vectors: Vectors, num_clusters: int, seed: int) -> tuple[Positions, Vectors]:
    """Label of each vector, int64 ``[N]``, and the centres, float32 ``[num_clusters, D]``.

    It is initialized by k-means++ with `seed`. Equal vectors in equal order give equal clusters.
    """
    centres = _kmeans_plus_plus(vectors, num_clusters, np.random.default_rng(seed))
    limit = TOLERANCE * float(vectors.var(axis=0).mean())
    labels = nearest_centre(vectors, centres)[0]
    for _ in range(ITERATIONS):
        moved = _cluster_means(vectors, labels, centres)
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        labels = nearest_centre(vectors, centres)[0]
        if shift <= limit:
            break
    return labels, centres


def _kmeans_plus_plus(vectors: Vectors, num_clusters: int, random: np.random.Generator) -> Vectors:
    """Initial centres: each is drawn with a probability proportional to its squared distance to the nearest one so far.

    Of a few draws the best is taken, as usual, so that a bad start is rare.
    """
    num_draws = 2 + int(np.log(num_clusters))
    chosen = [int(random.integers(len(vectors)))]
    squared = nearest_centre(vectors, vectors[chosen])[1]
    while len(chosen) < num_clusters:
        total = squared.sum(dtype=np.float64)
        probabilities = squared / total if total > 0 else None
        candidates = random.choice(len(vectors), num_draws, p=probabilities)
        reduced = [np.minimum(squared, nearest_centre(vectors, vectors[[position]])[1]) for position in candidates]
        best = int(np.argmin([distances.sum() for distances in reduced]))
        squared = reduced[best]
        chosen.append(int(candidates[best]))
    return vectors[chosen]


def nearest_centre(vectors: Vectors, centres: Vectors) -> tuple[Positions, NDArray[np.float64]]:
    """Nearest centre of each vector, and the squared distance to it."""
    index = faiss.IndexFlatL2(centres.shape[1])
    index.add(np.ascontiguousarray(centres))
    labels, squared = np.empty(len(vectors), np.int64), np.empty(len(vectors))
    for start in range(0, len(vectors), 4096):
        distances, positions = index.search(vectors[start : start + 4096], 1)
        labels[start : start + 4096] = positions[:, 0]
        squared[start : start + 4096] = np.maximum(distances[:, 0], 0)
        heartbeat.beat()
    return labels, squared


def _cluster_means(vectors: Vectors, labels: Positions, centres: Vectors) -> Vectors:
    """Mean of each cluster; for an empty cluster the centre that it had."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    moved = centres.copy()
    for label, members in zip(present, np.split(order, starts[1:]), strict=True):
        moved[label] = vectors[members].mean(axis=0, dtype=np.float64)
    return moved
