"""The largest rectangle of a picture that avoids some boxes. Plain arithmetic, so that the driver can import it."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in shares of a picture's width and height, from its left and upper edge; `right` and `bottom` end it.

    Any other unit does, as long as it is one for all boxes of a call.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Width by height; 0 where one of them is not positive."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def within(self, bounds: "Box") -> "Box":
        """The part of it inside `bounds`; its area is 0 where there is none."""
        return Box(
            max(self.left, bounds.left),
            max(self.top, bounds.top),
            min(self.right, bounds.right),
            min(self.bottom, bounds.bottom),
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)
"""The whole picture."""


def largest_rectangle(boxes: Sequence[Box], bounds: Box = WHOLE) -> Box | None:
    """The rectangle of the largest area inside `bounds` that no box reaches into; None where the boxes cover all.

    Exact. Of several as large, the one that lies furthest to the left, then the widest. The time is of the third power
    of the number of boxes at worst.

    The left edge of the largest rectangle is that of the bounds or the right edge of a box. For each such edge the
    boxes to the right of it are taken by their left edges; each is where a rectangle may end, and from there on its own
    height is taken:

        edge |          box 1    box 2          between two boxes taken so far, or one and the bounds, lies a gap;
             | gap -------->| gap ---->|  ...   a rectangle is the highest gap by the way from the edge to the next box
    """
    obstacles = sorted(inside for box in boxes if (inside := box.within(bounds)).area > 0)
    best: Box | None = None
    for left in sorted({bounds.left, *(box.right for box in obstacles)}):
        for found in _from_edge(left, obstacles, bounds):
            if found.area > (best.area if best is not None else 0.0):
                best = found
    return best


def _from_edge(left: float, obstacles: Sequence[Box], bounds: Box) -> list[Box]:
    """For each place where a rectangle with this left edge may end, the highest one; the widest first."""
    found: list[Box] = []
    covered = [(bounds.top, bounds.top), (bounds.bottom, bounds.bottom)]
    ahead = [box for box in obstacles if box.right > left]
    for index, box in enumerate([*ahead, None]):
        right = bounds.right if box is None else box.left
        if right > left and (index == 0 or right > ahead[index - 1].left or box is None):
            top, bottom = _highest_gap(covered)
            found.append(Box(left, top, right, bottom))
        if box is not None:
            _cover(covered, box.top, box.bottom)
    return found[::-1]


def _highest_gap(covered: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The longest stretch between two intervals, which are disjoint and in order; an empty one where there is one."""
    gaps = ((end, start) for (_, end), (start, _) in pairwise(covered))
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0))


def _cover(covered: list[tuple[float, float]], top: float, bottom: float) -> None:
    """Add an interval, merged with those that it meets."""
    first = bisect_left(covered, top, key=lambda interval: interval[1])
    last = first
    while last < len(covered) and covered[last][0] <= bottom:
        top, bottom = min(top, covered[last][0]), max(bottom, covered[last][1])
        last += 1
    del covered[first:last]
    insort(covered, (top, bottom))


def covered_share(boxes: Sequence[Box], bounds: Box = WHOLE) -> float:
    """Area of the union of the boxes over that of `bounds`, 0 to 1. Exact."""
    inside = [box for each in boxes if (box := each.within(bounds)).area > 0]
    total = 0.0
    for left, right in pairwise(sorted({edge for box in inside for edge in (box.left, box.right)})):
        height, end = 0.0, bounds.top
        for top, bottom in sorted((box.top, box.bottom) for box in inside if box.left < right and box.right > left):
            height += max(0.0, bottom - max(top, end))
            end = max(end, bottom)
        total += (right - left) * height
    return min(1.0, total / bounds.area)
