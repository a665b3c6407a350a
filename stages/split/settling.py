"""Tells whether one still picture gives way to another, at once or slowly, however little the two differ.

Of averages of some frames each, every pixel is looked at before and after a window:

    rest before   window          rest after
    3 3 3         4 5 7 9 11      12 12 12      settles: it rests, goes one way, and rests
    3 3 3         4 9 2 8 5       12 12 12      moves to and fro: something passes
    3 8 1         4 5 7 9 11      12 5 9        does not rest

Two slides of one talk share their background; what differs settles, wherever it is, in a dissolve and in a wipe.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
REST = 3
"""Averages for which a pixel rests before and after, at 25 frames/s half a second."""
WINDOWS = (1, 2, 4, 6, 8, 12, 16)
"""Averages between, at 25 frames/s up to 2.6 s."""
MIN_LEVELS = 4
"""A pixel settles where it differs by so many grey levels, and by more than"""
MIN_REST_RATIO = 2.0
"""so many times what it changes while it rests,"""
MAX_RANGE = 1.25
"""and where it goes not much farther between than so many times the difference."""
MAX_UNREST = 0.5
"""Where more of the picture does not rest, no still picture can be there."""
BLOCK = 3
"""Side in pixels of the blocks that tell over how much of the picture pixels settle."""


class SettledChange(NamedTuple):
    """What settles in a window.

    Attributes:
        change: by how much the pixels that settle differ, in grey levels, over all pixels.
        share: of all changes those of pixels that settle, 0 to 1.
        area: share of the picture's blocks in which a pixel settles.
        length: averages in the window.
    """

    change: float = 0.0
    share: float = 0.0
    area: float = 0.0
    length: int = 0


def settled_change(averages: Sequence[Floats]) -> SettledChange:
    """The shortest window in which about the most settles, of those whose rest after are the last averages.

    Args:
        averages: float32 ``[H, W, 3]`` each, in order.
    """
    if len(averages) < 2 * REST + WINDOWS[0]:
        return SettledChange()
    after, unrest_after = _rest(averages[-REST:])
    if float((unrest_after > 3 * MIN_LEVELS).mean()) > MAX_UNREST:
        return SettledChange()
    best, found = 0.0, SettledChange()
    highest, lowest = np.maximum.reduce(averages[-REST:]), np.minimum.reduce(averages[-REST:])
    last = len(averages) - REST
    for window in WINDOWS:
        first = len(averages) - REST - window
        if first < REST:
            break
        highest = np.maximum.reduce([highest, *averages[first:last]])
        lowest = np.minimum.reduce([lowest, *averages[first:last]])
        last = first
        before, unrest_before = _rest(averages[first - REST : first])
        difference = np.abs(after - before).sum(axis=2)
        reach = (highest - lowest).sum(axis=2)
        limit = np.maximum(3 * MIN_LEVELS, MIN_REST_RATIO * (unrest_before + unrest_after))
        is_settled = (difference > limit) & (reach < MAX_RANGE * difference)
        settled = float(difference[is_settled].sum())
        if settled > best:
            best = 1.05 * settled
            others = reach[~is_settled & (reach > 3 * MIN_LEVELS)]
            share = settled / (settled + float(others.sum()))
            found = SettledChange(settled / 3 / difference.size, share, _area(is_settled), window)
    return found


def _rest(averages: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Mean of the averages, ``[H, W, 3]``, and how far they lie apart, ``[H, W]``, a sum over channels."""
    stacked = np.stack(averages)
    return stacked.mean(axis=0), np.ptp(stacked, axis=0).sum(axis=2)


def _area(is_settled: NDArray[np.bool_]) -> float:
    height, width = (side // BLOCK * BLOCK for side in is_settled.shape)
    blocks = is_settled[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float(blocks.any(axis=(1, 3)).mean())
