"""Lists of vectors that lie near each other (an inverted file), so that a search looks at few of very many.

Each vector is in the list of its nearest centre; a query goes through the lists whose centres are nearest to it. Two
near-duplicates are found where one of them probes the list of the other. For given centres, which pairs are looked at
depends on the two vectors alone: not on other vectors, their order, or who searches.
"""

from collections.abc import Iterator
from functools import cached_property

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import Positions, Vectors
from stages.dedup.vector_store import VectorStore

EXACT_CLIPS = 200_000
"""Clips up to which every clip is compared with every other."""
TRAINING_VECTORS = 24
TRAINING_ROUNDS = 5
"""Vectors of a list, and rounds of k-means, that centres are trained with."""
BLOCK = 4096


def num_lists(num_clips: int) -> int:
    """Number of lists for so many clips; it doubles as their number grows fourfold, so that centres stay for long."""
    return 1 << round(np.log2(4 * np.sqrt(num_clips)))


def train_centres(vectors: Vectors, count: int) -> Vectors:
    """Float32 ``[count, D]``, unit length: centres of these vectors, by spherical k-means with a fixed seed."""
    kmeans = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=1,
        seed=1,
        spherical=True,
        max_points_per_centroid=1 << 30,
        min_points_per_centroid=1,
    )
    centres = vectors[:: len(vectors) // count][:count]
    for _ in range(TRAINING_ROUNDS):  # one at a time: all in one call would look like a hang
        kmeans.train(vectors, init_centroids=centres)
        centres = np.ascontiguousarray(kmeans.centroids)
        heartbeat.beat()
    return centres


def nearest_centre(vectors: Vectors, centres: Vectors) -> NDArray[np.int32]:
    """Int32 ``[N]``: number of the nearest centre of each vector."""
    nearest = np.empty(len(vectors), np.int32)
    for start in range(0, len(vectors), BLOCK):
        nearest[start : start + BLOCK] = (vectors[start : start + BLOCK] @ centres.T).argmax(axis=1)
        heartbeat.beat()
    return nearest


class Lists:
    """The lists of all clips.

    Args:
        centres: float32 ``[L, D]``, unit length.
        assigned: int32 ``[N]``, list of each clip.
    """

    def __init__(self, centres: Vectors, assigned: NDArray[np.int32]) -> None:
        self.centres = centres
        self.assigned = assigned

    @property
    def num_lists(self) -> int:
        """Number of lists."""
        return len(self.centres)

    def members(self, number: int) -> Positions:
        """Positions of the clips of a list, in ascending order."""
        order, starts = self._order
        return order[starts[number] : starts[number + 1]]

    def probed_by(self, queries: Vectors, probes: int) -> Iterator[tuple[int, Positions]]:
        """For each list that any of the queries goes through, its number and these queries, in ascending order.

        Args:
            queries: float32 ``[Q, D]``, unit length.
            probes: number of lists that each goes through.
        """
        count = min(probes, self.num_lists)
        probed = np.empty((len(queries), count), np.int32)
        for start in range(0, len(queries), BLOCK):
            values = queries[start : start + BLOCK] @ self.centres.T
            probed[start : start + BLOCK] = np.argpartition(values, -count, axis=1)[:, -count:]
            heartbeat.beat()
        order = np.argsort(probed, axis=None, kind="stable")
        numbers = probed.ravel()[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        for number, entries in zip(numbers[starts].tolist(), np.split(order, starts[1:]), strict=True):
            yield number, entries // count

    @cached_property
    def _order(self) -> tuple[Positions, Positions]:
        order = np.argsort(self.assigned, kind="stable")
        return order, np.searchsorted(self.assigned[order], np.arange(self.num_lists + 1))


class ListedVectors(VectorStore):
    """Vectors of all clips, with their lists.

    Args:
        store: of the vectors.
        lists: of all of them.
    """

    def __init__(self, store: VectorStore, lists: Lists) -> None:
        super().__init__(store.segments, store.segment, store.row)
        self.lists = lists
