"""Which of very many hashes nearly equal a hash, without comparing all with all.

A hash is divided into parts. Found are those that have a part in common but for one bit, and differ in few bits in all.
Parts grow with the number of hashes, so that about as many are looked at for one, however many there are:

    100,000 hashes      16 parts of 16 bits, each in 17 variants that 1.5 hashes have on average: 415 are compared
    1,000,000 hashes    14 parts of 18 bits, each in 19 variants that 4 hashes have on average: 1,015 are compared
    10,000,000 hashes   12 parts of 21 bits, each in 22 variants that 5 hashes have on average: 1,260 are compared

Hashes of real pictures are less even than random ones, so there is a bound, see `LOOKED_AT_MAX`.

Of hashes that differ in a fifth of their bits, 91 % have such a part of 16 bits, and half one of 21. A clip has up to
twelve pictures, each seen through several windows, of which one is enough.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat

HASH_BITS = 256
PART_BITS = (16, 22)
"""Least and most bits of a part."""
PART_HASHES = 5
"""Hashes that have a part in common with one that is looked for, at most, on average of random ones."""
LOOKED_AT_MAX = 4096
"""Hashes that are compared with one that is looked for, at most: those that have its rarest parts. Hashes of real
pictures have some parts in common by their kind, such as a bright sky, and those of a library of one kind more so."""
PAIRS_AT_ONCE = 1 << 19


class HashIndex:
    """Hashes to look among.

    Args:
        hashes: uint8 ``[M, 32]``.
    """

    def __init__(self, hashes: NDArray[np.uint8]) -> None:
        self._bytes = hashes
        self._words = np.ascontiguousarray(hashes).view(np.uint64)
        needed = math.ceil(math.log2(max(1, len(hashes)) / PART_HASHES))
        self._bits = min(max(needed, PART_BITS[0]), PART_BITS[1])

    def range_search(
        self, queries: NDArray[np.uint8], radius: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """As faiss has it: bounds of what is found of each query, the bits in which it differs, and its positions.

        Args:
            queries: uint8 ``[Q, 32]``.
            radius: they differ in fewer bits.
        """
        found = [np.empty((3, 0), np.int64)]
        words = np.ascontiguousarray(queries).view(np.uint64)
        first, counts = self._with_common_part(queries)
        for number, (order, _) in enumerate(self._sorted_by_part):
            for rows, places in _blocks(first[:, number], counts[:, number]):
                columns = order[places].astype(np.int64)
                bits = np.bitwise_count(words[rows] ^ self._words[columns]).sum(axis=1, dtype=np.int64)
                near = bits < radius
                found.append(np.stack([rows[near], columns[near], bits[near]]))
        rows, columns, bits = np.concatenate(found, axis=1)
        _, unique = np.unique(rows * len(self._bytes) + columns, return_index=True)
        bounds = np.searchsorted(rows[unique], np.arange(len(queries) + 1))
        return bounds, bits[unique], columns[unique]

    def _with_common_part(self, queries: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each query, part and variant of it: where the hashes with this part begin, and how many are looked at.

        Both int64 ``[Q, P, V]``. Of a query that has parts in common with more than `LOOKED_AT_MAX`, the rarest parts
        come first.
        """
        flips = np.concatenate([[0], 1 << np.arange(self._bits)]).astype(np.uint32)
        first = np.empty((len(queries), len(self._sorted_by_part), len(flips)), np.int64)
        counts = np.empty_like(first)
        for number, (_, bounds) in enumerate(self._sorted_by_part):
            parts = self._part(queries, number)[:, None] ^ flips
            first[:, number] = bounds[parts]
            counts[:, number] = bounds[parts + np.uint32(1)] - first[:, number]
        many = np.flatnonzero(counts.sum(axis=(1, 2)) > LOOKED_AT_MAX)
        sizes = counts[many].reshape(len(many), first.shape[1] * first.shape[2])
        order = np.argsort(sizes, axis=1, kind="stable")
        rising = np.take_along_axis(sizes, order, axis=1)
        left = LOOKED_AT_MAX - (np.cumsum(rising, axis=1) - rising)
        np.put_along_axis(sizes, order, np.clip(rising, 0, np.maximum(left, 0)), axis=1)
        counts[many] = sizes.reshape(len(many), *first.shape[1:])
        return first, counts

    @cached_property
    def _sorted_by_part(self) -> list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
        """For each part, the hashes in its order, and where those of each value begin."""
        found = []
        for number in range(HASH_BITS // self._bits):
            values = self._part(self._bytes, number)
            order = np.argsort(values, kind="stable").astype(np.uint32)
            counts = np.bincount(values, minlength=1 << self._bits)
            found.append((order, np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)))
            heartbeat.beat()
        return found

    def _part(self, hashes: NDArray[np.uint8], number: int) -> NDArray[np.uint32]:
        """A part of each hash, as a number."""
        begin = number * self._bits
        byte = min(begin // 8, HASH_BITS // 8 - 4)
        word = np.zeros(len(hashes), np.uint32)
        for place in range(4):
            word = (word << np.uint32(8)) | hashes[:, byte + place]
        return (word >> np.uint32(32 - self._bits - (begin - 8 * byte))) & np.uint32((1 << self._bits) - 1)


def _blocks(
    first: NDArray[np.int64], counts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Numbers of queries, and places that are looked at for them, some at once.

    Args:
        first: int64 ``[Q, V]``, where each variant's places begin.
        counts: int64 ``[Q, V]``, how many they are.
    """
    first, sizes = first.ravel(), counts.ravel()
    query = np.repeat(np.arange(len(counts)), counts.shape[1])
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    begin = 0
    for wanted in range(PAIRS_AT_ONCE, total + PAIRS_AT_ONCE, PAIRS_AT_ONCE):
        end = min(int(np.searchsorted(ends, wanted)) + 1, len(sizes))
        some = sizes[begin:end]
        places = np.repeat(first[begin:end] - (np.cumsum(some) - some), some) + np.arange(int(some.sum()))
        yield np.repeat(query[begin:end], some), places
        begin = end
