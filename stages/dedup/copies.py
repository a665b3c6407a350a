"""Finds copies among clips: the same pictures in the same order, however they were changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.copy_alignment import Alignment, align
from stages.dedup.copy_banners import has_banner, match_but_banner
from stages.dedup.copy_candidates import candidates
from stages.dedup.copy_hashes import ClipHashes, landmarks_of, looked_for
from stages.dedup.copy_stills import StillMatch, match_stills
from stages.dedup.copy_views import STORED_WINDOWS, window_hashes
from stages.dedup.copy_windows import WHOLE, Placement


class Limits(NamedTuple):
    """Least likeness of moving copies.

    Attributes:
        likeness: of pictures. A large overlay leaves little of it.
        change: of the changes from picture to picture.
        course: of what pictures have beyond their mean. Where the same template moves in the same way with other
            content, changes are alike, and this is less so.
    """

    likeness: float
    change: float
    course: float


LIMITS = Limits(0.4, 0.35, 0.77)
LIMITS_OF_PARTS = Limits(0.9, 0.75, 0.9)
"""Of whole pictures, and of what a banner may leave of them, which differs by coding alone then."""
CHANGE_MIN = 0.0007
"""Where less changes, in contrasts of a picture, the clip stands still: what changes is noise, and tells no copies."""
STILL_LIMITS = ((0.84, 1.4, 48), (0.7, 1.2, 32))
"""Of larger pictures of what stands still: least share of blocks that are the same, least sum of it and of their
likeness, most bits in which hashes differ, which tell tables of one layout with other numbers apart. The second is for
copies that were made small: their blocks lose detail, and their hashes stay."""
STILL_BLOCKS_MIN = 8
"""With fewer blocks there is too little to compare, and what follows decides."""
STILL_LIKENESS_MIN = 0.75
STILL_BITS_MAX = 40
STILL_PEAK_MAX = 0.8
STILL_SAME_BITS = 16
"""Of pictures that stand still, hashes differ in no more bits. If most of the difference is in few pixels, other words
may stand on the same plate: then in no more than these."""
PICTURES_MIN = 5


class CopyPair(NamedTuple):
    """Two clips that are copies of each other.

    Attributes:
        left, right: their numbers.
        likeness: of what tells that they are, 0 to 1.
        rate: seconds of the right clip for a second of the left one.
        offset_s: time in the right clip at the start of the left one.
    """

    left: int
    right: int
    likeness: float
    rate: float
    offset_s: float


def find_copies(
    new: Mapping[int, ClipHashes], known: Mapping[int, ClipHashes], *, overlap_min: float = 0.5
) -> list[CopyPair]:
    """Copies among the new clips, and between these and the known ones.

    Args:
        new: clips by number.
        known: other clips by number; no number is among those of `new`.
        overlap_min: least share of the shorter clip that two must have in common.
    """
    clips = {**known, **new}
    found = candidates(looked_for(new), landmarks_of(clips, STORED_WINDOWS))
    return list(confirmed(found, clips, overlap_min))


def confirmed(
    found: Mapping[tuple[int, int], Sequence[Placement]],
    clips: Mapping[int, ClipHashes],
    overlap_min: float,
) -> Iterator[CopyPair]:
    """The candidates that are copies.

    Args:
        found: from `candidates`.
        clips: at least those that it names.
        overlap_min: see `find_copies`.
    """
    for (left, right), placements in sorted(found.items()):
        heartbeat.beat()
        pair = compare_clips(clips[left], clips[right], placements, overlap_min=overlap_min)
        if pair is not None:
            yield pair._replace(left=left, right=right)


def compare_clips(
    left: ClipHashes, right: ClipHashes, placements: Sequence[Placement], *, overlap_min: float
) -> CopyPair | None:
    """How they are copies of each other, with the numbers 0 and 1; None where they are not.

    Whole pictures are compared, however they lie, and only then what a banner leaves of them.
    """
    if left.video == right.video and (shared := min(left.end_s, right.end_s) - max(left.start_s, right.start_s)) > 0:
        shorter = min(left.end_s - left.start_s, right.end_s - right.start_s)
        return CopyPair(0, 1, 1.0, 1.0, left.start_s - right.start_s) if shared >= overlap_min * shorter else None
    is_one_shot = left.shot == right.shot
    whole = dict.fromkeys([*(each for each in placements if not each.is_part), Placement()])
    found = align(left.pictures(), right.pictures(), whole)
    is_still = None if found is None else found.change < CHANGE_MIN
    if found is not None:
        still = _match_stills(found, left, right, whole) if is_still else None
        if is_copy(found, still, LIMITS, overlap_min=overlap_min, is_one_shot=is_one_shot):
            return CopyPair(0, 1, found.likeness, found.rate, found.offset_s)
    found = align(left.pictures(), right.pictures(), [each for each in placements if each.is_part])
    if found is None or (is_still is not None and is_still != (found.change < CHANGE_MIN)):
        return None  # a part that stands still tells nothing of what moves
    is_still = found.change < CHANGE_MIN
    still = _match_spared(found, left, right) if is_still else None
    if not is_copy(found, still, LIMITS_OF_PARTS, overlap_min=overlap_min, is_one_shot=is_one_shot):
        return None
    if not is_still and not _have_banner(found, left, right):
        return None
    return CopyPair(0, 1, found.likeness, found.rate, found.offset_s)


def _have_banner(found: Alignment, left: ClipHashes, right: ClipHashes) -> bool:
    """Whether a banner covers one of two clips that move alike elsewhere, by their mean pictures in the shared time."""
    start, end = _shared(found, left, right)
    means = [
        clip.pictures().luma[(clip.seconds >= low - 0.1) & (clip.seconds <= high + 0.1)].mean(axis=0)
        for clip, low, high in (
            (left, start, end),
            (right, found.rate * start + found.offset_s, found.rate * end + found.offset_s),
        )
    ]
    return has_banner(means[0], means[1], found.placement)


def _shared(found: Alignment, left: ClipHashes, right: ClipHashes) -> tuple[float, float]:
    """From when to when the right clip shows what the left one does, in seconds of the left one."""
    start = max(0.0, -found.offset_s / found.rate)
    return start, min(float(left.seconds[-1]), (float(right.seconds[-1]) - found.offset_s) / found.rate)


def _match_stills(
    found: Alignment, left: ClipHashes, right: ClipHashes, placements: Iterable[Placement]
) -> StillMatch | None:
    """How still pictures agree in the time that the clips share; None where one has none there."""
    pictures = _stills(found, left, right)
    return None if pictures is None else match_stills(*pictures, [found.placement, *placements])


def _match_spared(found: Alignment, left: ClipHashes, right: ClipHashes) -> StillMatch | None:
    """How still pictures agree outside of a banner; None where there is none."""
    pictures = _stills(found, left, right)
    return None if pictures is None else match_but_banner(*pictures, found.placement)


def _stills(
    found: Alignment, left: ClipHashes, right: ClipHashes
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """The larger pictures in the time that the clips share; None where one has none there."""
    start, end = _shared(found, left, right)
    pictures = left.still(start, end), right.still(*(found.rate * each + found.offset_s for each in (start, end)))
    return None if pictures[0] is None or pictures[1] is None else (pictures[0], pictures[1])


def is_copy(
    found: Alignment, still: StillMatch | None, limits: Limits, *, overlap_min: float, is_one_shot: bool
) -> bool:
    """Whether two clips under their best alignment are copies.

    Args:
        found: the alignment.
        still: of what stands still, how larger pictures agree; None where that is unknown.
        limits: of what moves.
        overlap_min: least share of the shorter clip that they must have in common.
        is_one_shot: they are pieces of one shot, which goes on as before: only still ones are copies.
    """
    # Pictures are an interval apart, so that the shared part seems shorter by up to one and a half.
    overlap = found.overlap * (1 + 1.5 / max(1, found.num_pictures))
    if found.num_pictures < PICTURES_MIN or overlap < overlap_min:
        return False
    if found.change < CHANGE_MIN:
        if still is not None and still.num_blocks >= STILL_BLOCKS_MIN:
            return is_same_still(still)
        return limits is LIMITS and found.likeness >= STILL_LIKENESS_MIN and _have_same_hash(found)
    is_alike = found.likeness >= limits.likeness and found.course_likeness >= limits.course
    return is_alike and found.change_likeness >= limits.change and not is_one_shot


def is_same_still(still: StillMatch) -> bool:
    """Whether two still pictures that are compared block by block are the same one."""
    return any(
        still.same_share >= same and still.same_share + still.likeness >= match and still.bits <= bits
        for same, match, bits in STILL_LIMITS
    )


def _have_same_hash(found: Alignment) -> bool:
    """Whether mean pictures that stand still have nearly the same hash."""
    left, right = (window_hashes(mean[None], (WHOLE,))[0, 0] for mean in found.means)
    bits = int(np.unpackbits(left ^ right).sum())
    return bits <= (STILL_BITS_MAX if found.difference_peak <= STILL_PEAK_MAX else STILL_SAME_BITS)
