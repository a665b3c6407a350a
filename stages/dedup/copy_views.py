"""How pictures are hashed to be found: whole, turned, or through a window.

A copy that shows a part of the other's picture has other hashes. So pictures are hashed through windows too: those that
are looked for through many, those that are looked among through few. A part that has any place in a picture of the one
is then the middle of the other, or the whole:

    looked for                       among
    the whole, parts of four sizes   the whole, the middle 80 % and 60 % of each side
    at nine places, parts across
    and along; the whole turned
    parts at more places, wide and   the whole
    high parts
    what a banner leaves             what a banner leaves at the same place
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_turns import TURNS, UPRIGHT, Turn, turned
from stages.dedup.copy_windows import PARTS, WHOLE, Window
from stages.signals import hash_bits

HASH_BYTES = 32
SIDE = 64
"""Side of the picture whose transform is the hash, see `stages.signals.pdq`."""
PICTURES_AT_ONCE = 16
"""Hashed together: what is computed of more would leave the cache."""


def _windows() -> tuple[Window, ...]:
    """Whole, then parts of all sizes from 94 % on, in the middle, at the sides and in the corners."""
    places: list[Window] = [WHOLE]
    for size in (0.94, 0.88, 0.81, 0.74):
        places += _parts(size, size, (0.0, 0.5, 1.0))
    for size in (0.88, 0.75, 0.6):
        low, high = (1 - size) / 2, (1 + size) / 2
        places += [Window(0, 1, low, high), Window(low, high, 0, 1)]
    return tuple(places)


def _more_windows() -> tuple[Window, ...]:
    """Parts at places between those, and wide and high ones."""
    known = set(_windows())
    places = [part for size in (0.81, 0.74) for part in _parts(size, size, (0.0, 0.25, 0.5, 0.75, 1.0))]
    places += [part for sides in ((0.95, 0.82), (0.82, 0.95)) for part in _parts(*sides, (0.0, 0.5, 1.0))]
    return tuple(part for part in places if part not in known)


def _parts(high: float, wide: float, places: tuple[float, ...]) -> list[Window]:
    """Parts of a size at shares of the room that it leaves, down and across."""
    return [
        Window(down * (1 - high), down * (1 - high) + high, across * (1 - wide), across * (1 - wide) + wide)
        for down in places
        for across in places
    ]


class View(NamedTuple):
    """How a picture is hashed: turned, then through a window."""

    window: Window
    turn: Turn = UPRIGHT


MORE_WINDOWS = _more_windows()
"""Looked for among whole pictures alone."""
WINDOWS = tuple(View(each) for each in (*_windows(), *MORE_WINDOWS, *PARTS)) + tuple(
    View(WHOLE, turn) for turn in TURNS[1:]
)
"""Of pictures that are looked for; the first is the whole."""
STORED_WINDOWS = tuple(View(each) for each in (WHOLE, Window(0.1, 0.9, 0.1, 0.9), Window(0.2, 0.8, 0.2, 0.8), *PARTS))
"""Of those that they are looked for among. All but `PARTS` lie alike in every turn."""


def view_hashes(luma: NDArray[np.float32], views: tuple[View, ...]) -> NDArray[np.uint8]:
    """PDQ of small pictures ``[N, S, S]`` in each view, uint8 ``[N, V, 32]``."""
    hashes = np.empty((len(luma), len(views), HASH_BYTES), np.uint8)
    for turn in dict.fromkeys(view.turn for view in views):
        chosen = [number for number, view in enumerate(views) if view.turn == turn]
        seen, windows = turned(luma, turn), tuple(views[number].window for number in chosen)
        for start in range(0, len(luma), PICTURES_AT_ONCE):
            part = slice(start, start + PICTURES_AT_ONCE)
            hashes[part, chosen] = window_hashes(seen[part], windows)
    return hashes


def window_hashes(luma: NDArray[np.float32], windows: tuple[Window, ...]) -> NDArray[np.uint8]:
    """PDQ of small pictures ``[N, S, S]`` through each window, uint8 ``[N, W, 32]``."""
    count, size = len(luma), luma.shape[-1]
    down, across = _operators(size, windows)
    side_by_side = luma.transpose(1, 0, 2).reshape(size, count * size)
    lines = (down.reshape(-1, size) @ side_by_side).reshape(len(windows), -1, size)
    values = np.asarray(lines @ across.transpose(0, 2, 1), np.float32).reshape(len(windows), 16, count, 16)
    hashes = hash_bits(values.transpose(2, 0, 1, 3).reshape(-1, 16, 16))
    return hashes.reshape(count, len(windows), HASH_BYTES)


@lru_cache(maxsize=4)
def _operators(size: int, windows: tuple[Window, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each window, the matrices ``[16, S]`` down and across that sample it and transform it."""
    order, place = np.arange(1, 17)[:, None], np.arange(SIDE)[None]
    cosines = np.cos(np.pi / (2 * SIDE) * order * (2 * place + 1)).astype(np.float32)
    enlarge = [
        [cosines @ _enlarging(low, high, size) for low, high in ((w.top, w.bottom), (w.left, w.right))] for w in windows
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
