"""Divides a clip into windows, in frames, and samples stored frames from each window."""

from bisect import bisect_left
from collections.abc import Sequence

from stages.media import evenly_spaced_indices

MIN_FRAMES = 4
"""A clip of fewer frames has no window; NeMo Curator's value."""


def window_ranges(num_frames: int, size: int, remainder: int) -> list[tuple[int, int]]:
    """Half-open ranges of `size` frames that cover the clip.

    A rest of at least `remainder` frames is a window of its own; a shorter one is joined to the last window.

        num_frames 600, size 256, remainder 128:   [0, 256) [256, 600)      rest of 88: joined
        num_frames 640                             [0, 256) [256, 512) [512, 640)

    The rule is NeMo Curator's, which gives inclusive ends. Empty for a clip of less than `MIN_FRAMES`.

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


def sample_windows(index: Sequence[int], ranges: Sequence[tuple[int, int]], max_frames: int) -> list[int]:
    """Positions of the frames that any window needs, at most `max_frames` per window, ascending.

    `sample_window` gives the same frames for each window when it is applied to these frames only, so that no other
    frame has to be decoded. Where no window holds a frame, the first frame is returned.

    Args:
        index: see `sample_window`.
        ranges: the windows, half-open, disjoint.
        max_frames: at least 1.
    """
    needed = {position for start, end in ranges for position in _sample_range(index, start, end, max_frames)}
    return sorted(needed) or [0]


def sample_window(index: Sequence[int], start_frame: int, end_frame: int, max_frames: int) -> list[int]:
    """Positions of at most `max_frames` frames, evenly spaced over a window; of the nearest frame where it holds none.

    Args:
        index: frame number of each stored frame, ascending, at least one, with the origin of `start_frame`.
        start_frame: first frame of the window.
        end_frame: one past the last.
        max_frames: at least 1.
    """
    found = _sample_range(index, start_frame, end_frame, max_frames)
    if found:
        return found
    middle = (start_frame + end_frame - 1) / 2
    return [min(range(len(index)), key=lambda position: abs(index[position] - middle))]


def _sample_range(index: Sequence[int], start_frame: int, end_frame: int, max_frames: int) -> list[int]:
    first, last = bisect_left(index, start_frame), bisect_left(index, end_frame)
    return [first + offset for offset in evenly_spaced_indices(last - first, max_frames)]
