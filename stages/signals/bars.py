"""The part of a picture inside flat bars of any level, told by the lines of the pictures around it in time."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]

FLAT_LEVELS = 14
"""Largest difference of luma within a line of a bar, over its pixels and all pictures."""
EDGE_LEVELS = 8.0
"""Least mean step of luma from a bar to the picture, in one of the pictures."""
EDGE_LINES = 2
"""Lines over which the step is taken, since scaling blurs the edge."""
LEAST_SHARE = 0.3
"""Of each side that must be left inside the bars."""


class Area(NamedTuple):
    """A part of a picture in pixels; `bottom` and `right` are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, luma: Luma) -> Luma:
        """The part of a picture."""
        return luma[self.top : self.bottom, self.left : self.right]


class Lines(NamedTuple):
    """Rows or columns of a picture: smallest and largest value of each, and its mean step to that `EDGE_LINES` on."""

    low: NDArray[np.uint8]
    high: NDArray[np.uint8]
    step: NDArray[np.float32]


def picture_lines(luma: Luma) -> tuple[Lines, Lines] | None:
    """Rows and columns of a picture, ``[H, W]``; None for a flat one, which tells nothing of bars."""
    rows, columns = _lines(luma, 1), _lines(luma, 0)
    return None if int(rows.high.max()) - int(rows.low.min()) <= 2 * FLAT_LEVELS else (rows, columns)


def active_area(lines: Iterable[tuple[Lines, Lines] | None], shape: Sequence[int]) -> Area:
    """The area inside the bars that all pictures share.

    Args:
        lines: of each picture, from `picture_lines`.
        shape: height and width of the pictures.
    """
    seen = [each for each in lines if each is not None]
    if not seen:
        return Area(0, shape[0], 0, shape[1])
    (top, bottom), (left, right) = (_inside([each[axis] for each in seen]) for axis in (0, 1))
    return Area(top, bottom, left, right)


def _lines(luma: Luma, axis: int) -> Lines:
    low, high = (cv2.reduce(luma, axis, kind).ravel() for kind in (cv2.REDUCE_MIN, cv2.REDUCE_MAX))
    ahead = (luma[EDGE_LINES:], luma[:-EDGE_LINES]) if axis else (luma[:, EDGE_LINES:], luma[:, :-EDGE_LINES])
    step = cv2.reduce(cv2.absdiff(*ahead), axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    return Lines(low.astype(np.uint8), high.astype(np.uint8), step.astype(np.float32))


def _inside(lines: Sequence[Lines]) -> tuple[int, int]:
    """First line inside the bars, and one past the last."""
    low, high = np.min([each.low for each in lines], axis=0), np.max([each.high for each in lines], axis=0)
    step = np.max([each.step for each in lines], axis=0)
    count = len(low)
    first = _bar(low, high, step)
    last = count - _bar(low[::-1], high[::-1], step[::-1])
    return (first, last) if last - first >= LEAST_SHARE * count else (0, count)


def _bar(low: NDArray[np.uint8], high: NDArray[np.uint8], step: NDArray[np.float32]) -> int:
    """Lines of the bar at the beginning; 0 without one.

    line 0   flat, of one level   the bar
    line 1   flat, of one level
    line 2   not flat             blurred by scaling
    line 3   the picture          its mean step from line 1 is large, else line 0 is a part of the picture
    """
    level_low, level_high = np.minimum.accumulate(low), np.maximum.accumulate(high)
    is_bar = level_high.astype(np.int16) - level_low <= FLAT_LEVELS
    lines = int(np.argmin(is_bar)) if not is_bar.all() else 0
    if not lines or step[lines - 1 : lines + 1].max(initial=0) < EDGE_LEVELS:
        return 0
    return lines
