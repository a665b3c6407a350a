"""Calls a model on a device with batches of a few fixed sizes, and finds out how large they may be."""

import itertools
import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence

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
        encode: the model. The array that it gets is used again for the next call.
        first: size of the first call.
        largest: size at most.
        release: gives cached memory of the device back, before a call is made again.
    """

    def __init__(
        self, encode: Encode, *, first: int, largest: int, release: Callable[[], object] = lambda: None
    ) -> None:
        self.size, self.largest = min(first, largest), largest
        self._encode, self._release = encode, release
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    def run(self, parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """One vector a unit, float32 ``[N, D]``, of parts with units ``[K, ...]`` each, at least one in all.

        Raises:
            Exception: of the model; out of memory only with a single unit.
        """
        vectors: list[NDArray[np.float32]] = []
        gathered = _Gathered(parts)
        start = 0
        while start < gathered.num_units:
            heartbeat.beat()
            size, count = self.size, min(self.size, gathered.num_units - start)
            found = self._call(gathered, start, count)
            if found is None:
                self._release()
                continue
            vectors.append(found)
            start += count
            if count == size:
                self.size = min(size * 2, self.largest)
        return np.concatenate(vectors)

    def _call(self, gathered: "_Gathered", start: int, count: int) -> NDArray[np.float32] | None:
        """The vectors of some units; None where memory ran out and the size was halved.

        The error, whose traceback holds tensors, is gone when this returns.
        """
        padded = padded_count(count, self.size)
        try:
            batch = self._buffer_for(gathered, padded)
            gathered.copy_to(batch, start, count)
            batch[count:] = batch[count - 1]
            return self._encode(batch)[:count]
        except Exception as error:
            if padded == 1 or not is_out_of_memory(error):
                raise
            self.size = self.largest = padded // 2
            logger.info("Memory ran out with %d units in one call: from now on at most %d", padded, self.size)
            return None

    def _buffer_for(self, gathered: "_Gathered", count: int) -> NDArray[np.uint8]:
        """Room for so many units, the same at each call: fresh memory would cost more than the copy."""
        if len(self._buffer) < count or self._buffer.shape[1:] != gathered.shape:
            self._buffer = np.empty((count, *gathered.shape), np.uint8)
        return self._buffer[:count]


class _Gathered:
    """Units of several parts, as one row of units."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self._parts = parts
        self._ends = list(itertools.accumulate(len(part) for part in parts))
        self.num_units = self._ends[-1]
        self.shape = parts[0].shape[1:]

    def copy_to(self, batch: NDArray[np.uint8], start: int, count: int) -> None:
        """Copy units [start, start + count) to the beginning of a batch."""
        index, done = bisect_right(self._ends, start), 0
        while done < count:
            part = self._parts[index]
            first = start + done - (self._ends[index] - len(part))
            taken = part[first : first + count - done]
            batch[done : done + len(taken)] = taken
            done += len(taken)
            index += 1


def padded_count(count: int, size: int) -> int:
    """Units of a call with so many: the next power of two, at most `size`."""
    return min(size, 1 << (count - 1).bit_length())
