"""Which clips may be copies of which: some of their pictures have nearly the same hash.

A copy that shows a part of the other's picture has other hashes. So each picture is hashed as it is, and through some
windows; a hash as it is is looked for among all hashes of the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import faiss
import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.copy_alignment import WHOLE, Window

HASH_BITS_MAX = 84
"""Largest number of bits in which two pictures of a candidate differ; unrelated ones differ in about 128."""
QUALITY_MIN = 10
"""Pictures of less show too little to be told apart by."""
LANDMARKS_MAX = 12
LANDMARK_STEP_S = 0.5
"""Pictures of a clip that are looked for: so far apart, and at most so many."""
HASH_BYTES = 32
SIDE = 64
"""Side of the picture whose transform is the hash, see `stages.signals.pdq`."""
QUERY_BATCH = 1024
"""Hashes of one search."""


def _windows() -> tuple[Window, ...]:
    """Whole, then parts of all sizes from 94 % on, in the middle, at the sides and in the corners."""
    places: list[Window] = [WHOLE]
    for size in (0.94, 0.88, 0.81, 0.74):
        room = 1 - size
        places += [
            Window(down * room, down * room + size, across * room, across * room + size)
            for down in (0.0, 0.5, 1.0)
            for across in (0.0, 0.5, 1.0)
        ]
    for size in (0.88, 0.75, 0.6):
        low, high = (1 - size) / 2, (1 + size) / 2
        places += [Window(0, 1, low, high), Window(low, high, 0, 1)]
    return tuple(places)


WINDOWS = _windows()
PLAIN = 0
"""Of `WINDOWS`, the whole picture."""


@dataclass(frozen=True)
class Landmarks:
    """Hashes of some pictures of many clips.

    Attributes:
        clip: int64 ``[N]``, the clip of each picture, by number.
        hashes: uint8 ``[N, W, 32]``, through each of `WINDOWS`.
    """

    clip: NDArray[np.int64]
    hashes: NDArray[np.uint8]


def landmark_indices(seconds: NDArray[np.float64], quality: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The pictures of a clip that are looked for."""
    usable = np.flatnonzero(quality >= QUALITY_MIN)
    chosen: list[int] = []
    for index in usable.tolist():
        if not chosen or seconds[index] - seconds[chosen[-1]] >= LANDMARK_STEP_S - 1e-6:
            chosen.append(index)
    if len(chosen) > LANDMARKS_MAX:
        chosen = [chosen[place] for place in np.linspace(0, len(chosen) - 1, LANDMARKS_MAX).astype(int)]
    return np.array(chosen, np.int64)


def window_hashes(luma: NDArray[np.float32]) -> NDArray[np.uint8]:
    """PDQ of small pictures ``[N, S, S]`` through each of `WINDOWS`, uint8 ``[N, W, 32]``."""
    down, across = _operators(luma.shape[-1])
    bits = np.empty((len(luma), len(WINDOWS), HASH_BYTES), np.uint8)
    for number in range(len(WINDOWS)):
        flat = (down[number] @ luma @ across[number].T).reshape(len(luma), -1)
        middle = flat.shape[1] // 2 - 1
        median = np.partition(flat, middle, axis=1)[:, middle : middle + 1]
        bits[:, number] = np.packbits((flat > median)[:, ::-1], axis=1)
    return bits


@lru_cache(maxsize=2)
def _operators(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each window, the matrices ``[16, S]`` down and across that sample it and transform it."""
    order, place = np.arange(1, 17)[:, None], np.arange(SIDE)[None]
    cosines = np.cos(np.pi / (2 * SIDE) * order * (2 * place + 1)).astype(np.float32)
    enlarge = [
        [cosines @ _enlarging(low, high, size) for low, high in ((w.top, w.bottom), (w.left, w.right))] for w in WINDOWS
    ]
    return np.stack([down for down, _ in enlarge]), np.stack([across for _, across in enlarge])


def _enlarging(low: float, high: float, size: int) -> NDArray[np.float32]:
    """Matrix ``[64, S]`` that samples a part of a line of S values at 64 places."""
    places = np.clip((low + (high - low) * (np.arange(SIDE) + 0.5) / SIDE) * size - 0.5, 0, size - 1)
    before = np.minimum(places.astype(int), size - 2)
    matrix = np.zeros((SIDE, size), np.float32)
    matrix[np.arange(SIDE), before] = 1 - (places - before)
    matrix[np.arange(SIDE), before + 1] += (places - before).astype(np.float32)
    return matrix


def candidates(new: Landmarks, known: Landmarks) -> dict[tuple[int, int], list[tuple[Window, Window]]]:
    """Pairs of a new and a known clip, each with the windows of both under which most pictures are alike, best first.

    Where `new` is `known`, pairs of a clip with itself are left out, and of each other pair one order is given.
    """
    votes: dict[tuple[int, int], dict[tuple[int, int], float]] = {}
    plain_known = known.hashes[:, PLAIN]
    for window in range(len(WINDOWS)):
        searches = [(new.hashes[:, PLAIN], known.hashes[:, window], (PLAIN, window))]
        if window != PLAIN:
            searches.append((new.hashes[:, window], plain_known, (window, PLAIN)))
        for queries, targets, windows in searches:
            for rows, columns, bits in _hits(queries, targets):
                _vote(votes, new.clip[rows], known.clip[columns], bits, windows, is_same=new is known)
    return {
        pair: [(WINDOWS[left], WINDOWS[right]) for left, right in sorted(found, key=lambda each: -found[each])[:2]]
        for pair, found in votes.items()
    }


def _vote(
    votes: dict[tuple[int, int], dict[tuple[int, int], float]],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    bits: NDArray[np.int32],
    windows: tuple[int, int],
    *,
    is_same: bool,
) -> None:
    for a, b, count in zip(left.tolist(), right.tolist(), bits.tolist(), strict=True):
        if is_same and a == b:
            continue
        pair, places = ((a, b), windows) if not is_same or a < b else ((b, a), windows[::-1])
        found = votes.setdefault(pair, {})
        found[places] = found.get(places, 0.0) + float(HASH_BITS_MAX + 1 - count) ** 2


def _hits(
    queries: NDArray[np.uint8], targets: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]]:
    """Positions in both, and the bits in which they differ, of all that differ in at most `HASH_BITS_MAX`."""
    index = faiss.IndexBinaryFlat(HASH_BYTES * 8)
    index.add(np.ascontiguousarray(targets))
    for start in range(0, len(queries), QUERY_BATCH):
        part = np.ascontiguousarray(queries[start : start + QUERY_BATCH])
        bounds, bits, positions = index.range_search(part, HASH_BITS_MAX + 1)
        rows = start + np.repeat(np.arange(len(part)), np.diff(bounds.astype(np.int64)))
        heartbeat.beat()
        yield rows, positions.astype(np.int64), bits


def to_landmarks(
    seconds: Sequence[NDArray[np.float64]], luma: Sequence[NDArray[np.float32]], quality: Sequence[NDArray[np.uint8]]
) -> Landmarks:
    """The landmarks of clips, each with its pictures' times, luma ``[N, S, S]`` and quality."""
    clips, hashes = [np.empty(0, np.int64)], [np.empty((0, len(WINDOWS), HASH_BYTES), np.uint8)]
    for number, (times, pictures, values) in enumerate(zip(seconds, luma, quality, strict=True)):
        chosen = landmark_indices(times, values)
        if len(chosen):
            clips.append(np.full(len(chosen), number, np.int64))
            hashes.append(window_hashes(pictures[chosen]))
    return Landmarks(np.concatenate(clips), np.concatenate(hashes))
