"""Frames and boundaries of a stream in exact time. Pure: no codec, no arrays.

Each frame has a boundary at its start, and the last one also at its end, where a span may begin or end:

    frame        0     1     2          3     4
    PTS          0    10    20         40    50    60 = end_pts
    boundary     |     |     |          |     |     |
                 0     1     2          3     4     5
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from stages.tasks import Span, exact_fraction


@dataclass(frozen=True)
class Timeline:
    """Presentation times of a stream's frames.

    Attributes:
        pts: of every frame in presentation order; rises.
        end_pts: end of the last frame.
        time_base: seconds per unit of PTS.
        keyframes: indices of the keyframes, in order.
        breaks: frames that begin with another picture size, rotation or colour than the frame before, in order. No
            clip goes over one.
    """

    pts: Sequence[int]
    end_pts: int
    time_base: Fraction
    keyframes: Sequence[int] = ()
    breaks: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.pts)

    def at(self, boundary: int) -> int:
        """The PTS of a boundary; boundaries are numbered from 0 to the number of frames."""
        return self.end_pts if boundary == len(self.pts) else self.pts[boundary]

    def is_key(self, boundary: int) -> bool:
        """True where a stream copy may begin or end: at a keyframe, or at the end of the stream."""
        index = bisect_left(self.keyframes, boundary)
        return boundary == len(self.pts) or (index < len(self.keyframes) and self.keyframes[index] == boundary)

    def span(self, start: int, end: int) -> Span:
        """The span of frames [start, end)."""
        return Span(self.at(start), self.at(end), self.time_base)

    def first_at_or_after(self, pts: Fraction | int) -> int:
        """The first boundary at or after this time; the last boundary where all are before it."""
        if pts > self.end_pts:
            return len(self.pts)
        return bisect_left(self.pts, pts)

    def last_at_or_before(self, pts: Fraction | int) -> int:
        """The last boundary at or before this time; the first boundary where all are after it."""
        if pts >= self.end_pts:
            return len(self.pts)
        return max(0, bisect_right(self.pts, pts) - 1)

    def units(self, seconds: float) -> Fraction:
        """A length in units of PTS, exact for the decimal number as written instead of its binary approximation."""
        return exact_fraction(seconds) / self.time_base
