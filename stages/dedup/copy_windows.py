"""Parts of a picture: how a picture looks through one, and the one at which two clips are most alike."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_pictures import Pictures, normalized
from stages.dedup.copy_turns import UPRIGHT, Turn

WINDOW_STEPS = (0.04, 0.016)
ROUNDS_MAX = 5
PASSES_MAX = 3
"""Shares of a side by which windows are moved, how often at most, and how often one after the other."""
SHIFT_MAX = 0.08
"""By so much a window may lie outside of the picture."""


class Window(NamedTuple):
    """A part of a picture, in shares of its sides."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0


WHOLE = Window()
PARTS = (Window(0.0, 0.7), Window(0.3, 1.0))
"""What a banner below or above leaves of a picture."""


class Placement(NamedTuple):
    """How the pictures of two clips may lie on each other.

    Attributes:
        left: the part of the left clip's picture.
        right: the part of the right clip's picture that shows the same, once it is turned.
        turn: of the right clip's pictures.
    """

    left: Window = WHOLE
    right: Window = WHOLE
    turn: Turn = UPRIGHT

    @property
    def is_part(self) -> bool:
        """It leaves out what a banner may hide."""
        return self.left in PARTS and self.right == self.left


@lru_cache(maxsize=1 << 15)
def sampling(low: float, high: float, size: int) -> NDArray[np.float32]:
    """Matrix ``[size, size]`` that samples a line of `size` values at as many places from low to high, linearly."""
    places = (low + (high - low) * (np.arange(size) + 0.5) / size) * size - 0.5
    before = np.clip(np.floor(places).astype(int), 0, size - 2)
    share = np.clip(places - before, 0, 1)
    matrix = np.zeros((size, size), np.float32)
    matrix[np.arange(size), before] = 1 - share
    matrix[np.arange(size), before + 1] += share.astype(np.float32)
    return matrix


def seen_through(pictures: Pictures, window: Window) -> Pictures:
    """The part of each picture inside the window, at the size of the picture."""
    if window == WHOLE:
        return pictures
    size = pictures.shape[-1]
    down, across = sampling(window.top, window.bottom, size), sampling(window.left, window.right, size)
    return np.asarray(down @ pictures @ across.T, np.float32)


def best_windows(left: Pictures, right: Pictures, start: Window, end: Window) -> tuple[Window, Window]:
    """The windows at which pictures ``[N, S, S]`` of both sides are most alike, near those given."""
    windows, sides = [start, end], (left, right)
    order = sorted((0, 1), key=lambda each: windows[each] == WHOLE)
    for _ in range(PASSES_MAX):
        before = tuple(windows)
        for side in order:
            fixed = normalized(seen_through(sides[1 - side], windows[1 - side]))[0]
            windows[side] = _best_window(sides[side], windows[side], fixed)
        if tuple(windows) == before:
            break
    return windows[0], windows[1]


def _best_window(pictures: Pictures, window: Window, fixed: NDArray[np.float32]) -> Window:
    """The window near the given one through which pictures are most like normalized ones ``[N, S * S]``."""
    size = pictures.shape[-1]
    side_by_side = np.ascontiguousarray(pictures.transpose(1, 0, 2)).reshape(size, -1)
    best = float(_likeness(side_by_side, [window], fixed)[0])
    for step in WINDOW_STEPS:
        for _ in range(ROUNDS_MAX):
            trials = _neighbours(window, step)
            values = _likeness(side_by_side, trials, fixed)
            place = int(np.argmax(values))
            if values[place] <= best + 1e-4:
                break
            best, window = float(values[place]), trials[place]
    return window


def _likeness(
    side_by_side: NDArray[np.float32], windows: Sequence[Window], fixed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean correlation of what pictures show through each window with normalized pictures ``[N, S * S]``, ``[W]``.

    Args:
        side_by_side: float32 ``[S, N * S]``, the pictures beside each other.
        windows: W of them.
        fixed: the normalized pictures, whose means are 0.
    """
    size, count = len(side_by_side), len(fixed)
    down, across = (
        np.stack([sampling(*sides, size) for sides in ends])
        for ends in zip(*(((w.top, w.bottom), (w.left, w.right)) for w in windows), strict=True)
    )
    seen = (down @ side_by_side).reshape(len(windows), size * count, size) @ across.transpose(0, 2, 1)
    lines = seen.reshape(len(windows), size, count, size)
    wanted = fixed.reshape(count, size, size).transpose(1, 0, 2)
    squares = np.einsum("winj,winj->wn", lines, lines) - lines.sum(axis=(1, 3)) ** 2 / size**2
    products = np.einsum("winj,inj->wn", lines, wanted)
    return np.asarray((products / np.sqrt(np.maximum(squares, 1e-3))).mean(axis=1), np.float32)


def _neighbours(window: Window, step: float) -> list[Window]:
    top, bottom, left, right = window
    moves = [
        (top + a * step, bottom + b * step, left + c * step, right + d * step)
        for a, b, c, d in (
            (1, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0), (0, 0, -1, 0), (0, 0, 0, 1),
            (0, 0, 0, -1), (1, 1, 0, 0), (-1, -1, 0, 0), (0, 0, 1, 1), (0, 0, -1, -1), (1, -1, 1, -1), (-1, 1, -1, 1),
        )
    ]  # fmt: skip
    return [
        Window(*(round(each, 3) for each in move))
        for move in moves
        if min(move) >= -SHIFT_MAX
        and max(move) <= 1 + SHIFT_MAX
        and move[1] - move[0] >= 0.4
        and move[3] - move[2] >= 0.4
    ]
