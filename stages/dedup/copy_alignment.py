"""Whether one clip is a copy of another: their pictures are brought to one time and one frame, and compared.

A copy may be faster, begin elsewhere, and show a part of the picture. So the rate, the offset and the window are looked
for under which the pictures are most alike:

    time     t_right = rate * t_left + offset
    window   the part of the one clip's picture that is the whole picture of the other

Alike pictures do not make a copy: those of one place are alike at all times. In a copy the *changes* from picture to
picture are alike too, at this one offset. Only where nothing moves, pictures must be the same.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_pictures import (
    ClipPictures,
    Pictures,
    TimedPictures,
    changes,
    correlation,
    course,
    normalized,
    shows_something,
)
from stages.dedup.copy_times import Hypotheses, best_in_time, pictures_at
from stages.dedup.copy_turns import turned
from stages.dedup.copy_windows import Placement, best_windows, seen_through

SEEN_STEP = 4
SEEN_MAX = 12
"""Pictures of a clip by which placements are looked at first: one of so many, and at most so many."""
SEEN_LIKENESS_MIN = 0.4
SEEN_LIKENESS_BELOW = 0.3
"""Least likeness of the two pictures that are most alike under a placement that is tried, and by how much it may be
less than under the best one. Most pairs that one hash alone brought together are told apart by this."""
PEAK_PIXELS = 12
PICTURES_FOR_WINDOWS = 6
LIKE_ENOUGH = 0.99
"""Pictures so alike are compared as they are."""
TIME_AGAIN_LIKENESS = 0.8
TIME_AGAIN_CHANGE = 0.8
"""Pictures at least so alike, whose changes are less so, may have a wrong time, by windows that were not right yet."""


class _Timing(NamedTuple):
    """How the times of two clips go together.

    Attributes:
        places: of the hashed pictures of one clip, the places in all pictures of the other.
        is_swapped: these are the right clip's, in the left clip.
    """

    places: Hypotheses
    is_swapped: bool

    @property
    def rate(self) -> float:
        """Of the right clip's time to the left one's."""
        rate = float(self.places.rate[0])
        return 1 / rate if self.is_swapped else rate

    @property
    def offset_s(self) -> float:
        """Time in the right clip at the start of the left one."""
        offset_s = float(self.places.offset_s[0])
        return -offset_s * self.rate if self.is_swapped else offset_s


class Alignment(NamedTuple):
    """How two clips lie to each other, and how alike they are then.

    Attributes:
        rate: of the right clip's time to the left one's.
        offset_s: time in the right clip at the start of the left one.
        placement: the parts of both clips' pictures that are compared, and how the right one's were turned.
        likeness: mean correlation of pictures, -1 to 1.
        change_likeness: correlation of the changes from picture to picture.
        course_likeness: correlation of what each picture has beyond the mean picture of its clip.
        change: how much changes in the clip where less does, in contrasts of a picture.
        overlap: part of the shorter clip that the two share.
        num_pictures: that were compared.
        means: both mean pictures as they are compared, ``[S, S]``.
        difference_peak: share of their square difference that is in the `PEAK_PIXELS` pixels with the largest.
    """

    rate: float
    offset_s: float
    placement: Placement
    likeness: float
    change_likeness: float
    course_likeness: float
    change: float
    overlap: float
    num_pictures: int
    means: tuple[NDArray[np.float32], NDArray[np.float32]]
    difference_peak: float


def align(left: ClipPictures, right: ClipPictures, placements: Iterable[Placement]) -> Alignment | None:
    """The most likely alignment; None where one of the clips shows nothing, or nothing that the other one shows.

    Args:
        left: a clip.
        right: another clip.
        placements: to begin with; that of both whole pictures should be among them.
    """
    if min(len(left), len(right)) < 2 or not shows_something(left) or not shows_something(right):
        return None
    tried = [(*_best_in_time(left, right, placed), placed) for placed in _likely(left, right, placements)]
    if not tried:
        return None
    _, hypothesis, placed = max(tried, key=lambda each: each[0])
    found = _refined(hypothesis, left, right, placed)
    if not TIME_AGAIN_LIKENESS <= found.likeness < LIKE_ENOUGH or found.change_likeness >= TIME_AGAIN_CHANGE:
        return found
    again = _refined(_best_in_time(left, right, found.placement)[1], left, right, found.placement)
    return max(found, again, key=lambda each: each.likeness + each.change_likeness + each.course_likeness)


def _likely(left: ClipPictures, right: ClipPictures, placements: Iterable[Placement]) -> list[Placement]:
    """The placements under which some picture of the one clip is like one of the other."""
    some = [each.luma[:: max(SEEN_STEP, -(-len(each) // SEEN_MAX))] for each in (left, right)]
    found: dict[Placement, float] = {}
    for placed in placements:
        seen = seen_through(some[0], placed.left), seen_through(turned(some[1], placed.turn), placed.right)
        vectors = [normalized(each)[0] for each in seen]
        found[placed] = float((vectors[0] @ vectors[1].T).max())
    least = max(SEEN_LIKENESS_MIN, max(found.values(), default=1.0) - SEEN_LIKENESS_BELOW)
    return [placed for placed, likeness in found.items() if likeness >= least]


def _best_in_time(left: ClipPictures, right: ClipPictures, placed: Placement) -> tuple[float, _Timing]:
    """The best score under a placement, and its hypothesis about time.

    The hashed pictures of the one clip are compared with all of the other, which has more of them a second.
    """
    is_swapped = left.fast is not None and left.per_second > right.per_second
    lefts, rights = (left.every, right.hashed) if is_swapped else (left.hashed, right.every)
    lefts = TimedPictures(lefts.seconds, seen_through(lefts.luma, placed.left))
    rights = TimedPictures(rights.seconds, seen_through(turned(rights.luma, placed.turn), placed.right))
    score, places = best_in_time(rights, lefts, len(left)) if is_swapped else best_in_time(lefts, rights, len(right))
    return score, _Timing(places, is_swapped)


def _at_one_time(found: _Timing, left: ClipPictures, right: ClipPictures) -> tuple[Pictures, Pictures]:
    """Pictures of both clips that show the same time, ``[N, S, S]``."""
    valid = found.places.valid[0]
    if found.is_swapped:
        return pictures_at(found.places, left.every.luma), right.luma[valid]
    return left.luma[valid], pictures_at(found.places, right.every.luma)


def _refined(found: _Timing, left: ClipPictures, right: ClipPictures, placed: Placement) -> Alignment:
    """The alignment with windows that were moved until pictures are most alike."""
    alignment = compare(found, left, right, placed)
    if alignment.likeness >= LIKE_ENOUGH or not alignment.num_pictures:
        return alignment
    chosen = np.unique(np.linspace(0, alignment.num_pictures - 1, PICTURES_FOR_WINDOWS).astype(int))
    lefts, rights = (each[chosen] for each in _at_one_time(found, left, right))
    moved = best_windows(lefts, turned(rights, placed.turn), placed.left, placed.right)
    return compare(found, left, right, Placement(*moved, placed.turn))


def compare(found: _Timing, left: ClipPictures, right: ClipPictures, placed: Placement) -> Alignment:
    """How alike the clips are under one hypothesis about time and one placement."""
    lefts, rights = _at_one_time(found, left, right)
    lefts, rights = seen_through(lefts, placed.left), seen_through(turned(rights, placed.turn), placed.right)
    vectors_left, contrast_left = normalized(lefts)
    vectors_right, contrast_right = normalized(rights)
    weight = np.minimum(contrast_left, contrast_right)
    alike = (vectors_left * vectors_right).sum(axis=1)
    moved = [changes(each) for each in (lefts, rights)]
    energy = [float((each**2).sum()) for each in moved]
    product = float((moved[0] * moved[1]).sum())
    rate, valid = found.rate, found.places.valid[0]
    length_left, length_right = (float(each.seconds[-1] - each.seconds[0]) for each in (left, right))
    seconds = (right if found.is_swapped else left).seconds[valid]
    shared = float(np.ptp(seconds)) / (rate if found.is_swapped else 1.0) if valid.any() else 0.0
    shorter = min(length_left, length_right / rate)
    count = int(valid.sum())
    means = [normalized(each.mean(axis=0, keepdims=True))[0][0] for each in (lefts, rights)]
    squares = np.sort((means[0] - means[1]) ** 2)[::-1] * len(means[0])
    return Alignment(
        rate=rate,
        offset_s=found.offset_s,
        placement=placed,
        likeness=float((alike * weight).sum() / max(float(weight.sum()), 1e-6)),
        change_likeness=product / max(float(np.sqrt(energy[0] * energy[1])), 1e-9),
        course_likeness=correlation(*(course(each) for each in (lefts, rights))),
        change=float(np.sqrt(min(energy) / max(count, 1))),
        overlap=min(1.0, shared / max(shorter, 1e-6)),
        num_pictures=count,
        means=(lefts.mean(axis=0), rights.mean(axis=0)),
        difference_peak=float(squares[:PEAK_PIXELS].sum() / max(float(squares.sum()), 1e-9)),
    )
