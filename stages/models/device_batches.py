"""Calls a model on a device with batches of a few fixed sizes, and finds out how large they may be."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import is_out_of_memory

logger = logging.getLogger(__name__)

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""One call of a model: from units ``[B, ...]`` to vectors ``[B, D]``."""


class DeviceBatches:
    """Divides units into calls of a model, whichever clips and videos they are of.

    A call has `size` units; a last one that has fewer is filled up to a power of two with copies of its last unit. So
    a device sees few shapes, and what stands beside a unit has no effect on its vector but a rounding.

    The size doubles after each full call, up to `largest`. Where memory runs out it is halved, the call is made again,
    and no later call is as large as the one that failed.

    Args:
        encode: the model.
        first: size of the first call.
        largest: size at most.
        release: gives cached memory of the device back, before a call is made again.
    """

    def __init__(
        self, encode: Encode, *, first: int, largest: int, release: Callable[[], object] = lambda: None
    ) -> None:
        self.size, self.largest = min(first, largest), largest
        self._encode, self._release = encode, release

    def run(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector a unit, float32 ``[N, D]``, of units ``[N, ...]``, at least one.

        Raises:
            Exception: of the model; out of memory only with a single unit.
        """
        vectors: list[NDArray[np.float32]] = []
        start = 0
        while start < len(units):
            heartbeat.beat()
            taken = units[start : start + self.size]
            found = self._call(taken)
            if found is None:
                self._release()
                continue
            vectors.append(found)
            start += len(taken)
            if len(taken) == self.size:
                self.size = min(self.size * 2, self.largest)
        return np.concatenate(vectors)

    def _call(self, taken: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """The vectors of some units; None where memory ran out and the size was halved.

        The error, whose traceback holds tensors, is gone when this returns.
        """
        count = padded_count(len(taken), self.size)
        try:
            return self._encode(_padded(taken, count))[: len(taken)]
        except Exception as error:
            if count == 1 or not is_out_of_memory(error):
                raise
            self.size = self.largest = max(1, count // 2)
            logger.info("Memory ran out with %d units in one call: from now on at most %d", count, self.size)
            return None


def padded_count(count: int, size: int) -> int:
    """Units of a call with so many: the next power of two, at most `size`."""
    return min(size, 1 << (count - 1).bit_length())


def _padded(units: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    missing: Any = np.repeat(units[-1:], count - len(units), axis=0)
    return np.concatenate([units, missing])  # a copy of its own, which torch may take as writable
