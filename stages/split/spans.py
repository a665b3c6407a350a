"""Arithmetic of frames, shots and clips in exact time. No codec, no arrays: everything here is pure.

A stream is a `Timeline`; between two of its frames, and at its end, lies a boundary where a span may begin or end:

    frame        0     1     2          3     4
    PTS          0    10    20         40    50    60 = end_pts
    boundary     |     |     |          |     |     |
                 0     1     2          3     4     5
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from stages.tasks import Span, exact_fraction

LengthMode = Literal["stride", "truncate"]


@dataclass(frozen=True)
class Timeline:
    """When each frame of a stream is shown.

    Attributes:
        pts: of every frame in presentation order; rises.
        end_pts: when the last frame ends.
        time_base: seconds per unit of PTS.
        keyframes: indices of the frames that decode alone, in order.
    """

    pts: Sequence[int]
    end_pts: int
    time_base: Fraction
    keyframes: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.pts)

    def at(self, boundary: int) -> int:
        """The PTS of a boundary, 0 to the number of frames."""
        return self.end_pts if boundary == len(self.pts) else self.pts[boundary]

    def is_key(self, boundary: int) -> bool:
        """True where a stream copy may begin or end: at a keyframe, or at the end of the stream."""
        place = bisect_left(self.keyframes, boundary)
        return boundary == len(self.pts) or (place < len(self.keyframes) and self.keyframes[place] == boundary)

    def span(self, start: int, end: int) -> Span:
        """The span of frames [start, end)."""
        return Span(self.at(start), self.at(end), self.time_base)

    def first_at_or_after(self, pts: Fraction | int) -> int:
        """The first boundary that is not before this time; the last one where all are."""
        if pts > self.end_pts:
            return len(self.pts)
        return bisect_left(self.pts, pts)

    def last_at_or_before(self, pts: Fraction | int) -> int:
        """The last boundary that is not after this time; the first one where all are."""
        if pts >= self.end_pts:
            return len(self.pts)
        return max(0, bisect_right(self.pts, pts) - 1)

    def units(self, seconds: float) -> Fraction:
        """A length in units of PTS; the decimal that was written, not its binary neighbour."""
        return exact_fraction(seconds) / self.time_base


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames [start, end) between two shot changes.

    Attributes:
        start: first frame.
        end: one past the last frame; where the next shot begins.
        start_probability: of the shot change at the start; None at the start of the stream.
        end_probability: of the shot change at the end; None at the end of the stream.
    """

    start: int
    end: int
    start_probability: float | None = None
    end_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames [start, end) of one shot, to become a clip.

    Attributes:
        start: first frame.
        end: one past the last frame.
        shot: the shot that it lies in.
        starts_at_cut: the shot's first piece, and the shot begins with a shot change.
        ends_at_cut: the shot's last piece, and the shot ends with a shot change.
    """

    start: int
    end: int
    shot: Shot
    starts_at_cut: bool = False
    ends_at_cut: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How shots become clips, in seconds.

    Attributes:
        min_length_s: shorter pieces are left out.
        max_length_s: longer shots are strided or truncated.
        crop_s: left out at each end that lies at a shot change.
        mode: what happens to a long shot.
    """

    min_length_s: float
    max_length_s: float
    crop_s: float
    mode: LengthMode = "stride"


def shots_at(cuts: Sequence[tuple[int, float]], num_frames: int) -> list[Shot]:
    """Shots that tile the stream: each ends where the next begins.

    Args:
        cuts: first frame of each new shot with the probability of the change, in order.
        num_frames: of the stream.
    """
    inner = [(frame, probability) for frame, probability in cuts if 0 < frame < num_frames]
    edges: list[tuple[int, float | None]] = [(0, None), *inner, (num_frames, None)]
    return [
        Shot(start, end, before, after) for (start, before), (end, after) in itertools.pairwise(edges) if start < end
    ]


def transitions(probabilities: Sequence[float], threshold: float) -> list[tuple[int, float]]:
    """Cuts: for each run of frames above the threshold, the frame after its most probable one, and that probability.

    The network is surest of the last frame before a hard cut, and of the middle of a gradual change.
    """
    cuts: list[tuple[int, float]] = []
    best = -1
    for frame, probability in enumerate(probabilities):
        if probability > threshold:
            if best < 0 or probability > probabilities[best]:
                best = frame
        elif best >= 0:
            cuts.append((best + 1, float(probabilities[best])))
            best = -1
    if best >= 0:
        cuts.append((best + 1, float(probabilities[best])))
    return cuts


def merge_cuts(
    cuts: Sequence[tuple[int, float]], more: Sequence[tuple[int, float]], *, distance: int
) -> list[tuple[int, float]]:
    """All of `cuts`, and those of `more` that lie further than `distance` frames from each of them, in order."""
    frames = [frame for frame, _ in cuts]
    kept = [cut for cut in more if bisect_right(frames, cut[0] + distance) == bisect_left(frames, cut[0] - distance)]
    return sorted([*cuts, *kept])


def pieces_of(shot: Shot, timeline: Timeline, rules: Rules, boundaries: Sequence[int]) -> list[Piece]:
    """Clips of one shot, in order, disjoint, each within the length bounds.

    Ends at shot changes are cropped first; what is left is cut greedily into the longest pieces that are not longer
    than the maximum. A frame that alone lasts longer than that belongs to no piece.

    Args:
        shot: the shot.
        timeline: of its stream.
        rules: lengths in seconds.
        boundaries: where pieces may begin and end: all of the timeline's, or those at keyframes; in order.
    """
    inside = _inside(shot, timeline, rules, boundaries)
    longest, shortest = timeline.units(rules.max_length_s), timeline.units(rules.min_length_s)
    found: list[tuple[int, int]] = []
    place = 0
    while place < len(inside) - 1:
        start = timeline.at(inside[place])
        # Bisect over what is left; every boundary knows its PTS.
        end = _last_within(inside, timeline, start + longest, place)
        if end == place:
            place += 1
            continue
        if timeline.at(inside[end]) - start >= shortest:
            found.append((inside[place], inside[end]))
        if rules.mode == "truncate":
            break
        place = end
    return _marked(found, shot, inside)


def _inside(shot: Shot, timeline: Timeline, rules: Rules, boundaries: Sequence[int]) -> Sequence[int]:
    """The allowed boundaries of a shot once its ends at shot changes are cropped."""
    crop = timeline.units(rules.crop_s)
    start, end = shot.start, shot.end
    if shot.start_probability is not None:
        start = timeline.first_at_or_after(timeline.at(start) + crop)
    if shot.end_probability is not None:
        end = timeline.last_at_or_before(timeline.at(end) - crop)
    return boundaries[bisect_left(boundaries, start) : bisect_right(boundaries, end)]


def _last_within(inside: Sequence[int], timeline: Timeline, limit: Fraction, first: int) -> int:
    """The last place from `first` on whose boundary is not after the limit."""
    return bisect_right(inside, limit, lo=first, key=timeline.at) - 1


def _marked(found: list[tuple[int, int]], shot: Shot, inside: Sequence[int]) -> list[Piece]:
    """Pieces that know whether a shot change lies at their ends."""
    return [
        Piece(
            start,
            end,
            shot,
            starts_at_cut=shot.start_probability is not None and start == inside[0],
            ends_at_cut=shot.end_probability is not None and end == inside[-1],
        )
        for start, end in found
    ]


def keyframe_boundaries(timeline: Timeline) -> list[int]:
    """Where a stream can be cut without encoding: at its keyframes and at its end."""
    return [*timeline.keyframes, len(timeline)]


def fixed_stride(
    timeline: Timeline, *, length_s: float, stride_s: float, min_length_s: float
) -> Iterator[tuple[int, int]]:
    """Boundaries of clips at regular times from the first frame on; the last may be shorter.

    Both ends move to the first frame at or after their time, so that clips with stride == length tile the stream.
    Lengths are compared before that, so that moving by part of a frame never makes a whole clip too short.
    """
    if not len(timeline):
        return
    origin, end_pts = timeline.at(0), timeline.end_pts
    length, stride, shortest = (timeline.units(value) for value in (length_s, stride_s, min_length_s))
    number, yielded = 0, (0, 0)
    while (start := origin + number * stride) < end_pts:
        end = min(start + length, Fraction(end_pts))
        found = timeline.first_at_or_after(start), timeline.first_at_or_after(end)
        number += 1
        if found[0] == found[1]:
            # A gap without frames, however long: go on at the first start whose clip reaches the next frame.
            number = max(number, math.ceil((timeline.at(found[0]) - origin - length) / stride))
        elif end - start >= shortest and found != yielded:
            yielded = found
            yield found


def snap_inward(start: int, end: int, boundaries: Sequence[int]) -> tuple[int, int] | None:
    """The widest span of allowed boundaries inside [start, end]; None where there is none."""
    inside = boundaries[bisect_left(boundaries, start) : bisect_right(boundaries, end)]
    return (inside[0], inside[-1]) if len(inside) > 1 else None
