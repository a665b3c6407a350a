"""The part of a picture inside flat bars of any level, told by the lines of the pictures around it in time.

The margin of a slide is flat too, but flat lines of the same paper stand between its lines of text: it is no bar.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]

FLAT_LEVELS = 14
"""Largest difference of luma within a line of a bar, over its pixels and all pictures."""
EDGE_LEVELS = 8
EDGE_PERCENT = 40
"""At the edge of a bar, luma steps by more than so much along so much of it, in one of the pictures; else a logo or the
moon stands on a flat background."""
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
    """Of one picture's rows, and of its columns: what tells bars.

    Attributes:
        low, high: smallest and largest value, uint8 ``[H]`` and ``[W]``.
        step: how much of the line differs from the one `EDGE_LINES` on, in percent, uint8.
    """

    low: tuple[Luma, Luma]
    high: tuple[Luma, Luma]
    step: tuple[Luma, Luma]


class BarsWindow:
    """The lines of the newest pictures, of one size.

    Args:
        shape: height and width of the pictures.
        length: pictures that are held.
    """

    def __init__(self, shape: tuple[int, int], length: int) -> None:
        self._shape = shape
        self._length = length
        # What a flat picture leaves: it tells nothing of bars.
        self._low = [np.full((length, count), 255, np.uint8) for count in shape]
        self._high = [np.zeros((length, count), np.uint8) for count in shape]
        self._step = [np.zeros((length, count - EDGE_LINES), np.uint8) for count in shape]
        self._count = 0

    def push(self, lines: Lines) -> None:
        """Add a picture's; those of the oldest go."""
        place = self._count % self._length
        self._count += 1
        is_flat = int(lines.high[0].max()) - int(lines.low[0].min()) <= 2 * FLAT_LEVELS
        for axis in (0, 1):
            self._low[axis][place] = 255 if is_flat else lines.low[axis]
            self._high[axis][place] = 0 if is_flat else lines.high[axis]
            self._step[axis][place] = 0 if is_flat else lines.step[axis]

    def area(self) -> Area:
        """The area inside the bars that all pictures share."""
        (top, bottom), (left, right) = (self._inside(axis) for axis in (0, 1))
        return Area(top, bottom, left, right)

    def _inside(self, axis: int) -> tuple[int, int]:
        low, high = self._low[axis].min(axis=0), self._high[axis].max(axis=0)
        if min(int(high[end]) - int(low[end]) for end in (0, -1)) > FLAT_LEVELS:
            return 0, len(low)  # neither end is flat: most pictures have no bars
        return _inside(low, high, self._step[axis].max(axis=0))


def lines_of(pictures: Sequence[Luma]) -> list[Lines]:
    """The lines of pictures of one size ``[H, W]``, of at most 255 pixels a side."""
    count = len(pictures)
    of_rows = _columns(cv2.transpose(np.concatenate(pictures)).astype(np.uint8, copy=False), count)
    of_columns = _columns(np.concatenate(pictures, axis=1), count)
    both = [list(zip(*each, strict=True)) for each in zip(of_rows, of_columns, strict=True)]
    return [Lines(*each) for each in zip(*both, strict=True)]


def _columns(side_by_side: Luma, count: int) -> tuple[Luma, Luma, Luma]:
    """Smallest value, largest value and percentage of steps of each column of so many pictures, ``[N, W]``."""
    differs = cv2.absdiff(side_by_side[:, EDGE_LINES:], side_by_side[:, :-EDGE_LINES])
    is_step = cv2.threshold(differs, EDGE_LEVELS, 1, cv2.THRESH_BINARY)[1]
    sums = np.pad(np.asarray(is_step).sum(axis=0, dtype=np.uint8), (0, EDGE_LINES)).reshape(count, -1)
    within = sums[:, :-EDGE_LINES]  # and not from one picture to the next
    shares = within.astype(np.float32) / np.float32(len(side_by_side))
    lows, highs = (each.reshape(count, -1) for each in (side_by_side.min(axis=0), side_by_side.max(axis=0)))
    return lows, highs, (100 * shares).astype(np.uint8)


def _inside(low: Luma, high: Luma, step: Luma) -> tuple[int, int]:
    """First line inside the bars, and one past the last."""
    count = len(low)
    if int(low.min()) > int(high.max()):
        return 0, count  # all were flat
    first = _bar(low, high, step)
    last = count - _bar(low[::-1], high[::-1], step[::-1])
    paper = _paper(low, high) if first or last < count else np.zeros(0, np.int16)
    first = 0 if np.any(np.abs(paper - int(low[0])) <= FLAT_LEVELS) else first
    last = count if np.any(np.abs(paper - int(low[-1])) <= FLAT_LEVELS) else last
    return (first, last) if last - first >= LEAST_SHARE * count else (0, count)


def _paper(low: Luma, high: Luma) -> NDArray[np.int16]:
    """Levels of flat lines with a picture on both sides: what has such a level at the edge is a margin, and no bar."""
    is_flat = high.astype(np.int16) - low <= FLAT_LEVELS
    shown = np.flatnonzero(~is_flat)
    if not len(shown):
        return np.zeros(0, np.int16)
    between = slice(int(shown[0]), int(shown[-1]))
    return low[between][is_flat[between]].astype(np.int16)


def _bar(low: Luma, high: Luma, step: Luma) -> int:
    """Lines of the bar at the beginning; 0 without one.

    line 0   flat, of one level   the bar
    line 1   flat, of one level
    line 2   not flat             blurred by scaling
    line 3   the picture          differs from line 1 along much of it, else line 0 is a part of the picture
    """
    level_low, level_high = np.minimum.accumulate(low), np.maximum.accumulate(high)
    is_bar = level_high.astype(np.int16) - level_low <= FLAT_LEVELS
    lines = int(np.argmin(is_bar))
    if not lines or step[lines - 1 : lines + 1].max(initial=0) < EDGE_PERCENT:
        return 0
    return lines
