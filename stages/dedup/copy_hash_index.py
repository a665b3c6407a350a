"""Which of very many hashes nearly equal a hash, without comparing all with all: an inverted file of lists.

Some of the hashes are centres. Each hash stands in the list of the centre that it differs from least, and one that is
looked for is compared with all centres, and with what stands in the lists of those that are nearest to it. Centres are
the square root of the number of hashes times the number of lists looked at, so that both take about as long, up to
`FLAT_CENTRES`. Where there would be more, lists keep the length that they have then, and centres are found by lists of
centres, so that what a hash is compared with grows by a level of those as the hashes grow `LIST_CENTRES` times:

    hashes       centres    levels    lists looked at    compared, of so many
    100,000        1,265         1                 16                   2,500
    1,000,000      4,000         1                 16                   8,000
    10,000,000    39,063         2                 32                  11,000
    100,000,000  390,625         3                 32                  12,500

Fewer centres are compared whole: to find the nearest of 16,000 by lists, as of lists of 64 hashes, takes as long as to
compare all of 4,000, and less is found.

Centres are every so many-th of the different hashes in their order: which they are depends on the hashes alone, so that
what is found depends on no order and on no number of workers.
"""

import math

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat

Hashes = NDArray[np.uint8]
"""``[N, 32]``."""

HASH_BYTES, HASH_BITS = 32, 256
LISTS_LOOKED_AT = 16
CENTRES = 4.0
"""Times the square root of the number of hashes."""
FLAT_CENTRES = 4096
"""Centres that are all compared; of more, some are found by lists."""
LIST_CENTRES = 64
"""Centres in a list of those, on average."""
LISTS_OF_MANY = 32
"""Lists looked at where centres are found by lists: of hashes, and of centres on each level."""
ADDED_AT_ONCE = 1 << 14


class Centres:
    """Centres, of which the nearest ones are found.

    Args:
        hashes: uint8 ``[C, 32]``, of the centres, at least one, in order.
    """

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        levels = [hashes]
        while len(levels[-1]) > FLAT_CENTRES:
            levels.append(_every(levels[-1], math.ceil(len(levels[-1]) / LIST_CENTRES)))
        top = faiss.IndexBinaryFlat(HASH_BITS)
        # To count what is how near takes a third of the time that a heap takes, and finds the same.
        top.use_heap = False  # type: ignore[attr-defined] - stub
        top.add(levels[-1])
        self.levels: list[faiss.IndexBinary] = [top]
        for level in levels[-2::-1]:
            self.levels.append(inverted_file(self.levels[-1], LISTS_OF_MANY))
            self.levels[-1].add(level)

    def __len__(self) -> int:
        return len(self.hashes)

    def nearest(self, hashes: Hashes) -> NDArray[np.int32]:
        """Int32 ``[N]``: number of the nearest centre of each of the hashes."""
        nearest = np.empty(len(hashes), np.int32)
        for start in range(0, len(hashes), ADDED_AT_ONCE):
            part = np.ascontiguousarray(hashes[start : start + ADDED_AT_ONCE])
            nearest[start : start + ADDED_AT_ONCE] = self.levels[-1].search(part, 1)[1][:, 0]
            heartbeat.beat()
        return nearest


class HashIndex:
    """Hashes to look among.

    Args:
        hashes: uint8 ``[M, 32]``, at least one.
        centres: that lists belong to.
        lists: int32 ``[M]``, of each hash, from `Centres.nearest`.
    """

    def __init__(self, hashes: Hashes, centres: Centres, lists: NDArray[np.int32]) -> None:
        self._centres = centres  # faiss holds no reference to it
        self._num_lists = LISTS_LOOKED_AT if len(centres.levels) == 1 else LISTS_OF_MANY
        self._lists = inverted_file(centres.levels[-1], self._num_lists)
        for start in range(0, len(hashes), ADDED_AT_ONCE):
            part = slice(start, start + ADDED_AT_ONCE)
            _add(self._lists, hashes[part], lists[part])
            heartbeat.beat()

    def range_search(
        self, queries: Hashes, radius: int, share: float = 1.0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """As faiss has it: bounds of what is found of each query, the bits in which it differs, and its positions.

        Args:
            queries: uint8 ``[Q, 32]``.
            radius: they differ in fewer bits.
            share: of the lists that are looked at.
        """
        self._lists.nprobe = math.ceil(share * self._num_lists)
        bounds, bits, positions = self._lists.range_search(np.ascontiguousarray(queries), radius)
        return bounds.astype(np.int64), bits.astype(np.int64), positions.astype(np.int64)


def centres_of(hashes: Hashes) -> Hashes:
    """Those of the hashes ``[M, 32]`` that are centres, in order."""
    different = np.unique(hashes, axis=0)
    return _every(different, num_centres(len(hashes)))


def num_centres(num_hashes: int) -> int:
    """Of so many hashes."""
    count = math.ceil(CENTRES * math.sqrt(num_hashes))
    return count if count <= FLAT_CENTRES else math.ceil(num_hashes * CENTRES**2 / FLAT_CENTRES)


def inverted_file(centres: faiss.IndexBinary, lists_looked_at: int) -> faiss.IndexBinaryIVF:
    """An index with no hash yet, and a list for each of the centres."""
    index = faiss.IndexBinaryIVF(centres, HASH_BITS, centres.ntotal)
    index.is_trained = True
    index.nprobe = lists_looked_at
    return index


def _add(index: faiss.IndexBinaryIVF, hashes: Hashes, lists: NDArray[np.int32]) -> None:
    """Add hashes to lists that are known already; where they are not, faiss would look for them again."""
    codes, numbers = np.ascontiguousarray(hashes), lists.astype(np.int64)
    # pyrefly: ignore[missing-attribute] - stub
    index.add_core(len(codes), faiss.swig_ptr(codes), None, faiss.swig_ptr(numbers))


def _every(hashes: Hashes, count: int) -> Hashes:
    """At most so many of the hashes, at even steps."""
    count = min(len(hashes), count)
    return np.ascontiguousarray(hashes[np.arange(count) * len(hashes) // count])
