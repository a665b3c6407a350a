"""Divides a clip into windows, in seconds or as NeMo Curator does in frames, and samples pictures from each window."""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stages.media import evenly_spaced_indices
from stages.params import CaptionParams
from stages.tasks import Clip, Window, exact_fraction

MIN_FRAMES = 4
"""A clip of fewer frames has no window; NeMo Curator's value."""


class ClipTimeline:
    """Frame numbers and times of a clip: known at its ends and at its stored pictures, even between two of these.

    Args:
        clip: its span and number of frames.
        pts: int64 ``[N]``, of the stored pictures, in the stream's time base; rises.
        index: int64 ``[N]``, their frame numbers in the video.
    """

    def __init__(self, clip: Clip, pts: NDArray[np.int64], index: NDArray[np.int64]) -> None:
        self._time_base = clip.span.time_base
        end = clip.span.end_pts - clip.span.start_pts
        times, frames = pts - clip.span.start_pts, index - clip.start_frame
        inside = (times > 0) & (times < end) & (frames > 0) & (frames < clip.num_frames)
        self._pts = np.array([0, *times[inside], end], np.float64)
        self._frames = np.array([0, *frames[inside], clip.num_frames], np.float64)

    def frame_at(self, seconds: Fraction) -> int:
        """The first frame, counted from the start of the clip, that begins at a time or later."""
        exact = float(np.interp(float(seconds / self._time_base), self._pts, self._frames))
        return int(np.ceil(exact - 1e-6))  # rounding in float64 is far below, and a frame far above

    def seconds_of(self, frame: int) -> float:
        """When a frame begins, in seconds from the start of the clip."""
        return float(np.interp(frame, self._frames, self._pts) * float(self._time_base))


def windows_of(clip: Clip, timeline: ClipTimeline, params: CaptionParams) -> list[Window]:
    """The windows of a clip, without pictures; none for a clip of less than `MIN_FRAMES`.

    Lengths are `caption.window_s`, or `caption.window_frames` with ``compat=nemo``. Where no frame begins in a window,
    as in a slow slide show, it is part of the one before.
    """
    if clip.num_frames < MIN_FRAMES:
        return []
    if params.compat == "nemo":
        ranges = window_ranges(clip.num_frames, params.window_frames, params.window_remainder_frames)
    else:
        starts = window_starts(_duration(clip), params)
        bounds = sorted({*(timeline.frame_at(start) for start in starts), clip.num_frames})
        ranges = list(pairwise(bounds))
    return [
        Window(number, start, end, timeline.seconds_of(start), timeline.seconds_of(end))
        for number, (start, end) in enumerate(ranges)
    ]


def num_windows(duration_s: float, num_frames: int, params: CaptionParams) -> int:
    """How many windows a clip is expected to have; 0 where it has none."""
    if num_frames < MIN_FRAMES:
        return 0
    if params.compat == "nemo":
        return len(window_ranges(num_frames, params.window_frames, params.window_remainder_frames))
    return len(window_starts(exact_fraction(duration_s), params))


def window_starts(duration: Fraction, params: CaptionParams) -> list[Fraction]:
    """Starts of windows of `window_s`, in seconds.

    A rest of at least `window_remainder_s` is a window of its own; a shorter one is joined to the last window.

        duration 24, window_s 10, remainder 5:   [0, 10) [10, 24)      rest of 4: joined
        duration 25                              [0, 10) [10, 20) [20, 25)
    """
    size = exact_fraction(params.window_s)
    number = max(1, -(-duration // size))
    # A last window of full length is no rest, however long a rest must be.
    if number > 1 and duration - (number - 1) * size < min(size, exact_fraction(params.window_remainder_s)):
        number -= 1
    return [each * size for each in range(number)]


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


def num_pictures(window: Window, params: CaptionParams) -> int:
    """Pictures of a window that are shown, at most: `max_frames`, and `frames_fps` a second where that is given."""
    if params.frames_fps is None:
        return params.max_frames
    return max(1, min(params.max_frames, round(params.frames_fps * (window.end_s - window.start_s))))


def sample_window(index: Sequence[int], start_frame: int, end_frame: int, max_frames: int) -> list[int]:
    """Positions of at most `max_frames` frames, evenly spaced over a window; of the nearest frame where it holds none.

    Args:
        index: frame number of each stored frame, ascending, at least one, with the origin of `start_frame`.
        start_frame: first frame of the window.
        end_frame: one past the last.
        max_frames: at least 1.
    """
    first, last = bisect_left(index, start_frame), bisect_left(index, end_frame)
    if first < last:
        return [first + offset for offset in evenly_spaced_indices(last - first, max_frames)]
    middle = (start_frame + end_frame - 1) / 2
    return [min(range(len(index)), key=lambda position: abs(index[position] - middle))]


def _duration(clip: Clip) -> Fraction:
    return (clip.span.end_pts - clip.span.start_pts) * clip.span.time_base
