from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.media.clip_tasks import clip_task, evenly_spaced_indices, shot_of
from stages.tasks import Clip, Span

ROW = {
    "partition": "p",
    "video_id": "v",
    "uri": "/a.mp4",
    "clip_id": "c",
    "start_pts": 1001,
    "end_pts": 4004,
    "time_base": "1/30000",
    "start_frame": 1,
    "end_frame": 4,
    "scores": {"motion": 0.5},
}


def test_clip_task_holds_one_clip_of_its_video() -> None:
    task = clip_task(ROW, "t")
    assert (task.task_id, task.group, task.data.uri) == ("t", "v", "/a.mp4")
    assert task.data.clip.span == Span(1001, 4004, Fraction(1, 30000))
    assert task.data.clip.columns == ROW
    assert task.data.clip.scores == {"motion": 0.5}


def test_clip_task_rejects_a_row_without_span() -> None:
    with pytest.raises(KeyError, match="start_pts"):
        clip_task({"clip_id": "c"}, "t")


def test_shot_of_is_the_clip_where_its_row_names_none() -> None:
    span = Span(10, 20, Fraction(1, 25))
    assert shot_of(Clip("c", span, 0, 1)) == span
    columns = {"shot_start_pts": 0, "shot_end_pts": 40}
    assert shot_of(Clip("c", span, 0, 1, columns=columns)) == Span(0, 40, Fraction(1, 25))


@pytest.mark.parametrize(
    ("total", "wanted", "places"),
    [(10, 3, [1, 5, 8]), (20, 8, [1, 3, 6, 8, 11, 13, 16, 18]), (4, 8, [0, 1, 2, 3]), (0, 8, []), (5, 1, [2])],
)
def test_spread_takes_the_middle_of_equal_parts(total: int, wanted: int, places: list[int]) -> None:
    assert evenly_spaced_indices(total, wanted) == places


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_spread_is_rising_inside_and_symmetric_within_one(total: int, wanted: int) -> None:
    places = evenly_spaced_indices(total, wanted)
    assert len(places) == min(total, wanted)
    assert places == sorted(set(places))
    assert all(0 <= place < total for place in places)
    mirrored = sorted(total - 1 - place for place in places)
    assert all(abs(a - b) <= 1 for a, b in zip(places, mirrored, strict=True))


def test_spread_rejects_none_wanted() -> None:
    with pytest.raises(ValueError, match="wanted must be at least 1, got 0"):
        evenly_spaced_indices(10, 0)
