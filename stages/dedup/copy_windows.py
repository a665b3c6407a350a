"""Parts of a picture: how a picture looks through one, and the one at which two clips are most alike."""

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


@lru_cache(maxsize=4096)
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
    best = _likeness(pictures, window, fixed)
    for step in WINDOW_STEPS:
        for _ in range(ROUNDS_MAX):
            before = best
            for trial in _neighbours(window, step):
                value = _likeness(pictures, trial, fixed)
                if value > best + 1e-4:
                    best, window = value, trial
            if best == before:
                break
    return window


def _likeness(pictures: Pictures, window: Window, fixed: NDArray[np.float32]) -> float:
    """Mean correlation with normalized pictures ``[N, S * S]``."""
    seen = seen_through(pictures, window).reshape(len(pictures), -1)
    squares = np.einsum("ij,ij->i", seen, seen) - seen.sum(axis=1) ** 2 / seen.shape[1]
    return float((np.einsum("ij,ij->i", seen, fixed) / np.sqrt(np.maximum(squares, 1e-3))).mean())


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
