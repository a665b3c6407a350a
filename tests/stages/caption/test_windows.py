"""The window rule, against NeMo Curator's pairs, whose ends are inclusive; and the frames sampled from a window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.caption.windows import MIN_FRAMES, sample_window, sample_windows, window_ranges


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


@given(st.lists(st.integers(0, 600), min_size=1, unique=True).map(sorted), st.integers(4, 600), st.integers(1, 9))
def test_sample_windows_holds_the_sample_of_each_window(index: list[int], num_frames: int, max_frames: int) -> None:
    """A window's sample of the few frames equals its sample of all frames; a window without a frame has the nearest."""
    ranges = window_ranges(num_frames, 50, 25)
    few = [index[position] for position in sample_windows(index, ranges, max_frames)]
    assert few == sorted(set(few))
    assert len(few) <= max_frames * len(ranges)
    for start, end in ranges:
        if any(start <= frame < end for frame in index):
            expected = [index[position] for position in sample_window(index, start, end, max_frames)]
            assert [few[position] for position in sample_window(few, start, end, max_frames)] == expected


def test_sample_windows_of_a_clip_without_window_is_one_frame() -> None:
    assert sample_windows([3, 9], [], 8) == [0]
