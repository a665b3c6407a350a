"""Arithmetic of shots, pieces and strides between the boundaries of a `Timeline`. Pure: no codec, no arrays."""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from stages.split.timeline import Timeline
from stages.split.transitions import Transition

LengthMode = Literal["stride", "truncate"]


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames [start, end) between two shot changes.

    Attributes:
        start: first frame.
        end: one past the last frame; where the transition to the next shot begins.
        start_probability: of the shot change at the start; None at the start of the stream.
        end_probability: of the shot change at the end; None at the end of the stream.
        before: the transition that ends at the start; None where there is none, or its kind is not known.
        after: the transition that starts at the end, likewise.
    """

    start: int
    end: int
    start_probability: float | None = None
    end_probability: float | None = None
    before: Transition | None = None
    after: Transition | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames [start, end) of one shot that become a clip.

    Attributes:
        start: first frame.
        end: one past the last frame.
        shot: the shot that contains the piece.
        starts_at_cut: true if this is the shot's first piece and the shot begins with a shot change.
        ends_at_cut: true if this is the shot's last piece and the shot ends with a shot change.
    """

    start: int
    end: int
    shot: Shot
    starts_at_cut: bool = False
    ends_at_cut: bool = False


@dataclass(frozen=True, slots=True)
class LengthRules:
    """Lengths of the pieces of a shot, in seconds.

    Attributes:
        min_length_s: shorter pieces are dropped.
        max_length_s: longer shots are strided or truncated.
        crop_s: removed at each end that lies at a shot change.
        mode: stride or truncate a longer shot.
    """

    min_length_s: float
    max_length_s: float
    crop_s: float
    mode: LengthMode = "stride"


def shots_between(transitions: Sequence[Transition], num_frames: int) -> list[Shot]:
    """Shots between transitions: all frames that lie in none. A cut at an end of the stream parts nothing.

    Args:
        transitions: in order.
        num_frames: of the stream.

    Raises:
        ValueError: transitions overlap, are not in order, or go beyond the stream.
    """
    inner = [each for each in transitions if each.end > 0 and each.start < num_frames]
    shots: list[Shot] = []
    for before, after in itertools.pairwise([None, *inner, None]):
        start, end = before.end if before else 0, after.start if after else num_frames
        if start > end or start > num_frames:
            raise ValueError(
                f"Transitions must be in order and end within the {num_frames} frames of the stream, got {before}, "
                f"then {after}."
            )
        if start < end:
            shots.append(_shot(start, end, before, after))
    return shots


def _shot(start: int, end: int, before: Transition | None, after: Transition | None) -> Shot:
    return Shot(start, end, before.probability if before else None, after.probability if after else None, before, after)


def divide_shots(shots: Sequence[Shot], breaks: Sequence[int]) -> list[Shot]:
    """The shots, each ended where the timeline breaks inside it. A break is no shot change: nothing is cropped."""
    divided: list[Shot] = []
    for shot in shots:
        inside = breaks[bisect_right(breaks, shot.start) : bisect_left(breaks, shot.end)]
        for start, end in itertools.pairwise([shot.start, *inside, shot.end]):
            part = replace(shot, start=start, end=end)
            if start != shot.start:
                part = replace(part, start_probability=None, before=None)
            if end != shot.end:
                part = replace(part, end_probability=None, after=None)
            divided.append(part)
    return divided


def divide_pieces(pieces: Sequence[Piece], timeline: Timeline, *, min_length_s: float) -> list[Piece]:
    """The pieces, each divided where the timeline breaks inside it; parts below the minimum length are dropped."""
    shortest = timeline.units(min_length_s)
    divided: list[Piece] = []
    for piece in pieces:
        parts = [_part(piece, shot) for shot in divide_shots([piece.shot], timeline.breaks)]
        found = [part for part in parts if part.start < part.end]
        whole = len(found) == 1 and (found[0].start, found[0].end) == (piece.start, piece.end)
        divided += [part for part in found if whole or timeline.at(part.end) - timeline.at(part.start) >= shortest]
    return divided


def _part(piece: Piece, shot: Shot) -> Piece:
    """The part of a piece that lies in a part of its shot; empty where none does."""
    start, end = max(piece.start, shot.start), min(piece.end, shot.end)
    return Piece(
        start,
        end,
        shot,
        starts_at_cut=piece.starts_at_cut and start == piece.start,
        ends_at_cut=piece.ends_at_cut and end == piece.end,
    )


def find_cuts(probabilities: Sequence[float], threshold: float) -> list[tuple[int, float]]:
    """Cuts of a stream: for each run of frames above the threshold, the frame after the most probable one.

    Each cut has that frame's probability. It is highest at the last frame before a hard cut, and in the middle of a
    gradual transition.
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


def split_shot(shot: Shot, timeline: Timeline, rules: LengthRules, boundaries: Sequence[int]) -> list[Piece]:
    """Pieces of one shot, in order, disjoint, each within the length bounds.

    Ends at shot changes are cropped first; the rest is divided greedily into the longest pieces within the maximum. A
    single frame that is longer than the maximum belongs to no piece.

    Args:
        shot: the shot.
        timeline: of its stream.
        rules: lengths in seconds.
        boundaries: where pieces may begin and end: all of the timeline's, or those at keyframes; in order.
    """
    inside = _boundaries_inside(shot, timeline, rules, boundaries)
    longest, shortest = timeline.units(rules.max_length_s), timeline.units(rules.min_length_s)
    found: list[tuple[int, int]] = []
    index = 0
    while index < len(inside) - 1:
        start = timeline.at(inside[index])
        # Bisects the remaining boundaries by their PTS.
        end = _last_index_within(inside, timeline, start + longest, index)
        if end == index:
            index += 1
            continue
        if timeline.at(inside[end]) - start >= shortest:
            found.append((inside[index], inside[end]))
        if rules.mode == "truncate":
            break
        index = end
    return _make_pieces(found, shot, inside)


def _boundaries_inside(shot: Shot, timeline: Timeline, rules: LengthRules, boundaries: Sequence[int]) -> Sequence[int]:
    """The allowed boundaries of a shot after its ends at shot changes are cropped."""
    crop = timeline.units(rules.crop_s)
    start, end = shot.start, shot.end
    if shot.start_probability is not None:
        start = timeline.first_at_or_after(timeline.at(start) + crop)
    if shot.end_probability is not None:
        end = timeline.last_at_or_before(timeline.at(end) - crop)
    return boundaries[bisect_left(boundaries, start) : bisect_right(boundaries, end)]


def _last_index_within(inside: Sequence[int], timeline: Timeline, limit: Fraction, first: int) -> int:
    """The last index from `first` on whose boundary is not after the limit."""
    return bisect_right(inside, limit, lo=first, key=timeline.at) - 1


def _make_pieces(found: list[tuple[int, int]], shot: Shot, inside: Sequence[int]) -> list[Piece]:
    """Pieces of the boundary pairs, with the flags for shot changes at their ends."""
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
    """Boundaries for a stream copy: all keyframes and the end of the stream."""
    return [*timeline.keyframes, len(timeline)]


def fixed_stride(
    timeline: Timeline, *, length_s: float, stride_s: float, min_length_s: float
) -> Iterator[tuple[int, int]]:
    """Boundaries of clips at a fixed stride from the first frame on; the last clip may be shorter.

    Both ends move to the first frame at or after their time, so that clips with stride == length have no gaps or
    overlaps. Lengths are compared before that, so that moving by part of a frame never makes a whole clip too short.
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
            # A gap without frames, of any length: continue at the first start whose clip reaches the next frame.
            number = max(number, math.ceil((timeline.at(found[0]) - origin - length) / stride))
        elif end - start >= shortest and found != yielded:
            yielded = found
            yield found


def snap_inward(start: int, end: int, boundaries: Sequence[int]) -> tuple[int, int] | None:
    """The widest span between allowed boundaries inside [start, end]; None where there is none."""
    inside = boundaries[bisect_left(boundaries, start) : bisect_right(boundaries, end)]
    return (inside[0], inside[-1]) if len(inside) > 1 else None
