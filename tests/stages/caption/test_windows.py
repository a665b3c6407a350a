"""Windows in time, and in frames against NeMo Curator's pairs, whose ends are inclusive; frames sampled from them."""

from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.caption.windows import (
    MIN_FRAMES,
    ClipTimeline,
    sample_window,
    window_ranges,
    window_starts,
    windows_of,
)
from stages.params import CaptionParams
from stages.tasks import Clip, Span, exact_fraction


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (0, []),
        (3, []),
        (4, [(0, 3)]),
        (256, [(0, 255)]),
        (257, [(0, 256)]),
        (384, [(0, 255), (256, 383)]),
        (385, [(0, 255), (256, 384)]),
        (511, [(0, 255), (256, 510)]),
        (600, [(0, 255), (256, 599)]),
        (640, [(0, 255), (256, 511), (512, 639)]),
        (1000, [(0, 255), (256, 511), (512, 767), (768, 999)]),
    ],
)
def test_window_ranges_follow_the_published_rule(num_frames: int, expected: list[tuple[int, int]]) -> None:
    assert [(start, end - 1) for start, end in window_ranges(num_frames, 256, 128)] == expected


@pytest.mark.parametrize(
    ("num_frames", "size", "remainder", "expected"),
    [
        (129, 128, 64, [(0, 128)]),
        (191, 128, 64, [(0, 190)]),
        (192, 128, 64, [(0, 127), (128, 191)]),
        (300, 128, 64, [(0, 127), (128, 299)]),
        (12, 5, 1, [(0, 4), (5, 9), (10, 11)]),
    ],
)
def test_window_ranges_follow_the_rule_with_other_lengths(
    num_frames: int, size: int, remainder: int, expected: list[tuple[int, int]]
) -> None:
    assert [(start, end - 1) for start, end in window_ranges(num_frames, size, remainder)] == expected


@given(st.integers(0, 3000), st.integers(1, 400), st.integers(1, 500))
def test_window_ranges_cover_the_clip_without_overlap(num_frames: int, size: int, remainder: int) -> None:
    found = window_ranges(num_frames, size, remainder)
    assert bool(found) == (num_frames >= MIN_FRAMES)
    covered = [frame for start, end in found for frame in range(start, end)]
    assert covered == (list(range(num_frames)) if found else [])
    assert all(end - start == size for start, end in found[:-1])
    assert not found or len(found) == 1 or found[-1][1] - found[-1][0] >= min(size, remainder)


@pytest.mark.parametrize(("size", "remainder"), [(0, 1), (1, 0)])
def test_window_ranges_rejects_lengths_below_one(size: int, remainder: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        window_ranges(10, size, remainder)


@pytest.mark.parametrize(
    ("start", "end", "max_frames", "expected"),
    [(0, 40, 8, [0, 1, 2, 3]), (0, 100, 3, [1, 5, 8]), (40, 60, 1, [5]), (41, 44, 4, [4]), (95, 99, 2, [9])],
)
def test_sample_window_is_evenly_spaced_over_the_window(
    start: int, end: int, max_frames: int, expected: list[int]
) -> None:
    assert sample_window(range(0, 100, 10), start, end, max_frames) == expected


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("0.2", [0]),
        ("10", [0]),
        ("14.99", [0]),
        ("15", [0, 10]),
        ("24.9", [0, 10]),
        ("25", [0, 10, 20]),
        ("30.03", [0, 10, 20]),
    ],
)
def test_windows_in_time_follow_the_rule_of_remainders(duration: str, expected: list[int]) -> None:
    assert window_starts(Fraction(duration), CaptionParams()) == expected


def test_a_last_window_of_full_length_is_no_remainder() -> None:
    params = CaptionParams(window_s=1, window_remainder_s=2)
    assert window_starts(Fraction(3), params) == [0, 1, 2]
    assert window_starts(Fraction("3.5"), params) == [0, 1, 2]


@given(
    st.fractions(Fraction(1, 100), 600), st.floats(0.1, 60).map(lambda x: round(x, 2)), st.floats(0.1, 60), st.data()
)
def test_windows_in_time_cover_the_clip(duration: Fraction, size: float, remainder: float, data: st.DataObject) -> None:
    params = CaptionParams(window_s=size, window_remainder_s=remainder)
    starts = window_starts(duration, params)
    assert starts[0] == 0
    assert all(later - earlier == exact_fraction(size) for earlier, later in pairwise(starts))
    rest = duration - starts[-1]
    assert 0 < rest < exact_fraction(size) + min(exact_fraction(size), exact_fraction(remainder)) or len(starts) == 1
    assert len(starts) == 1 or rest >= min(exact_fraction(size), exact_fraction(remainder))


def clip_of(pts: list[int], end: int, time_base: Fraction) -> Clip:
    """A clip that begins at frame 100 of its video."""
    return Clip("c", Span(pts[0], end, time_base), 100, 100 + len(pts))


def timeline_of(clip: Clip, pts: list[int], stored: list[int]) -> ClipTimeline:
    index = np.array(stored, np.int64)
    return ClipTimeline(clip, np.array(pts, np.int64)[index], index + clip.start_frame)


@pytest.mark.parametrize(("rate", "start"), [(25, 0), (30, 7), (60, 1000)])
def test_windows_in_time_begin_at_the_first_frame_after_their_start(rate: int, start: int) -> None:
    """At a constant rate, whichever frames are stored; at 60 a second 10 seconds are one window, not two."""
    pts = [start + frame * 10 for frame in range(24 * rate)]
    clip = clip_of(pts, start + 240 * rate, Fraction(1, 10 * rate))
    for stored in ([0], list(range(0, len(pts), rate // 2))):
        found = windows_of(clip, timeline_of(clip, pts, stored), CaptionParams())
        assert [(each.start_frame, each.end_frame) for each in found] == [(0, 10 * rate), (10 * rate, 24 * rate)]
        assert [(each.start_s, each.end_s) for each in found] == [(0, 10), (10, 24)]


def test_windows_in_time_follow_the_times_of_frames_not_their_numbers() -> None:
    """Of 30 seconds, the first 20 have a frame a second and the last 10 have twenty."""
    pts = [*range(0, 2000, 100), *range(2000, 3000, 5)]
    clip = clip_of(pts, 3000, Fraction(1, 100))
    found = windows_of(clip, timeline_of(clip, pts, list(range(len(pts)))), CaptionParams())
    assert [(each.start_frame, each.end_frame) for each in found] == [(0, 10), (10, 20), (20, 220)]
    nemo = windows_of(clip, timeline_of(clip, pts, [0]), CaptionParams(compat="nemo"))
    assert [(each.start_frame, each.end_frame) for each in nemo] == [(0, 220)]


def test_windows_without_a_frame_are_part_of_the_one_before() -> None:
    """A slide show: frames at 0, 1, 2 and 25 s."""
    pts = [0, 100, 200, 2500]
    clip = clip_of(pts, 3000, Fraction(1, 100))
    found = windows_of(clip, timeline_of(clip, pts, [0, 1, 2, 3]), CaptionParams())
    assert [(each.start_frame, each.end_frame) for each in found] == [(0, 3), (3, 4)]


@given(st.lists(st.integers(1, 400), min_size=4, max_size=60), st.data())
def test_pictures_are_sampled_from_the_window_of_their_time(steps: list[int], data: st.DataObject) -> None:
    """Whichever frames are stored, each is inside the window that its time lies in."""
    pts = list(accumulate([0, *steps]))
    clip = clip_of(pts[:-1], pts[-1], Fraction(1, 100))
    stored = sorted(data.draw(st.sets(st.integers(0, len(pts) - 2), min_size=1)))
    params = CaptionParams(window_s=2.5, window_remainder_s=1)
    found = windows_of(clip, timeline_of(clip, pts, stored), params)
    starts = window_starts(Fraction(pts[-1], 100), params)
    for frame in stored:
        (inside,) = [each for each in found if each.start_frame <= frame < each.end_frame]
        number = max(index for index, start in enumerate(starts) if start * 100 <= pts[frame])
        assert all(
            start * 100 >= pts[inside.start_frame] - 1e-6 or index <= number for index, start in enumerate(starts)
        )
    assert [each.start_frame for each in found[1:]] == [each.end_frame for each in found[:-1]]
    assert (found[0].start_frame, found[-1].end_frame) == (0, len(pts) - 1)
