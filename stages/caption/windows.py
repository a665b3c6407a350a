"""Windows of a clip, in frames, and which pictures of the frame store show one."""

from bisect import bisect_left
from collections.abc import Sequence

from stages.media import evenly_spaced_indices

MIN_FRAMES = 4
"""A clip of fewer frames has no window; NeMo Curator's value."""


def windows(num_frames: int, size: int, remainder: int) -> list[tuple[int, int]]:
    """Half-open stretches of `size` frames that cover the clip; what is left over is one more or joins the last.

        num_frames 600, size 256, remainder 128:   [0, 256) [256, 600)      88 left over: joined
        num_frames 640                             [0, 256) [256, 512) [512, 640)

    NeMo Curator's rule, whose ends are inclusive. Empty for a clip of less than `MIN_FRAMES`.

    Raises:
        ValueError: `size` or `remainder` is below 1.
    """
    if size < 1 or remainder < 1:
        raise ValueError(f"size and remainder must be at least 1, got {size} and {remainder}.")
    if num_frames < MIN_FRAMES:
        return []
    starts = list(range(0, num_frames, size))
    if len(starts) > 1 and num_frames - starts[-1] < remainder:
        starts.pop()
    return list(zip(starts, [*starts[1:], num_frames], strict=True))


def pictures_of(index: Sequence[int], spans: Sequence[tuple[int, int]], most: int) -> list[int]:
    """Places of the pictures that some window needs, at most `most` a window, ascending; the first where none does.

    `pictures_in` finds among these alone what it is to show of each window, so that no others need be in memory.

    Args:
        index: as for `pictures_in`.
        spans: the windows, half-open, disjoint.
        most: at least 1.
    """
    needed = {place for start, end in spans for place in _spread_inside(index, start, end, most)}
    return sorted(needed) or [0]


def pictures_in(index: Sequence[int], start_frame: int, end_frame: int, most: int) -> list[int]:
    """Places of at most `most` pictures, spread evenly over a window; of the nearest one where it holds none.

    Args:
        index: frame that each picture shows, ascending, at least one; counted as `start_frame` is.
        start_frame: first frame of the window.
        end_frame: one past the last.
        most: at least 1.
    """
    found = _spread_inside(index, start_frame, end_frame, most)
    if found:
        return found
    middle = (start_frame + end_frame - 1) / 2
    return [min(range(len(index)), key=lambda place: abs(index[place] - middle))]


def _spread_inside(index: Sequence[int], start_frame: int, end_frame: int, most: int) -> list[int]:
    first, last = bisect_left(index, start_frame), bisect_left(index, end_frame)
    return [first + place for place in evenly_spaced_indices(last - first, most)]
