"""Which of very many hashes nearly equal a hash, without comparing all with all: an inverted file of lists.

Some of the hashes are centres. Each hash stands in the list of the centre that it differs from least, and one that is
looked for is compared with all centres, and with what stands in the lists of those that are nearest to it. Centres are
the square root of the number of hashes times the number of lists looked at, so that both take about as long:

    hashes       centres    lists looked at    compared, of so many
    100,000        1,265                 16                   2,500
    1,000,000      4,000                 16                   8,000
    10,000,000    12,649                 16                  25,300

Centres are every so many-th of the different hashes in their order: which they are depends on the hashes alone, so that
what is found depends on no order and on no number of workers.
"""

import math

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat

HASH_BITS = 256
LISTS_LOOKED_AT = 16
CENTRES = 4.0
"""Times the square root of the number of hashes."""
ADDED_AT_ONCE = 1 << 14


class HashIndex:
    """Hashes to look among.

    Args:
        hashes: uint8 ``[M, 32]``, at least one.
    """

    def __init__(self, hashes: NDArray[np.uint8]) -> None:
        self._centres = faiss.IndexBinaryFlat(HASH_BITS)
        # To count what is how near takes a third of the time that a heap takes, and finds the same.
        self._centres.use_heap = False  # type: ignore[attr-defined] - stub
        self._centres.add(_centres(hashes))
        self._lists = faiss.IndexBinaryIVF(self._centres, HASH_BITS, self._centres.ntotal)
        self._lists.is_trained = True
        self._lists.nprobe = LISTS_LOOKED_AT
        for start in range(0, len(hashes), ADDED_AT_ONCE):
            self._lists.add(np.ascontiguousarray(hashes[start : start + ADDED_AT_ONCE]))
            heartbeat.beat()

    @property
    def num_centres(self) -> int:
        """Number of lists."""
        return int(self._centres.ntotal)

    def range_search(
        self, queries: NDArray[np.uint8], radius: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """As faiss has it: bounds of what is found of each query, the bits in which it differs, and its positions.

        Args:
            queries: uint8 ``[Q, 32]``.
            radius: they differ in fewer bits.
        """
        bounds, bits, positions = self._lists.range_search(np.ascontiguousarray(queries), radius)
        return bounds.astype(np.int64), bits.astype(np.int64), positions.astype(np.int64)


def _centres(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    different = np.unique(hashes, axis=0)
    count = min(len(different), math.ceil(CENTRES * math.sqrt(len(hashes))))
    return np.ascontiguousarray(different[np.arange(count) * len(different) // count])
