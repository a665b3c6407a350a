"""Pure arithmetic of frames, shots and clips."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.media import NearestSampler
from stages.split.spans import (
    LengthMode,
    LengthRules,
    Piece,
    Shot,
    Timeline,
    divide_pieces,
    divide_shots,
    find_cuts,
    fixed_stride,
    keyframe_boundaries,
    shots_between,
    snap_inward,
    split_shot,
)
from stages.split.transitions import Transition, cut_at
from stages.tasks import exact_fraction


def steady(num_frames: int, rate: int = 30, keyframes: tuple[int, ...] = (0,)) -> Timeline:
    return Timeline(range(num_frames), num_frames, Fraction(1, rate), keyframes)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Steady or variable frame rate, with gaps, beginning anywhere."""
    steps = draw(st.lists(st.integers(1, 40), min_size=1, max_size=120))
    start = draw(st.integers(-50, 1000))
    pts = [start]
    for step in steps[:-1]:
        pts.append(pts[-1] + step)
    keyframes = sorted(draw(st.sets(st.integers(0, len(pts) - 1))) | {0})
    return Timeline(
        pts, pts[-1] + steps[-1], draw(st.sampled_from([Fraction(1, 25), Fraction(1001, 30000)])), keyframes
    )


@st.composite
def rules(draw: st.DrawFn) -> LengthRules:
    shortest = draw(st.floats(0, 3).map(lambda value: round(value, 2)))
    longest = shortest + draw(st.floats(0.1, 8).map(lambda value: round(value, 2)))
    crop = draw(st.sampled_from([0.0, 0.1, 0.5]))
    return LengthRules(shortest, longest, crop, draw(st.sampled_from(["stride", "truncate"])))


def cut(timeline: Timeline, cuts: list[int], given_rules: LengthRules, boundaries: list[int]) -> list[Piece]:
    shots = shots_between([cut_at(frame, 0.9) for frame in cuts], len(timeline))
    return [piece for shot in shots for piece in split_shot(shot, timeline, given_rules, boundaries)]


cut_places = st.lists(st.integers(1, 119), max_size=4, unique=True).map(sorted)


@given(timelines(), cut_places, rules(), st.booleans())
def test_pieces_are_ordered_disjoint_and_within_bounds(
    timeline: Timeline, cuts: list[int], given_rules: LengthRules, at_keyframes: bool
) -> None:
    allowed = keyframe_boundaries(timeline) if at_keyframes else list(range(len(timeline) + 1))
    pieces = cut(timeline, cuts, given_rules, allowed)
    longest, shortest = timeline.units(given_rules.max_length_s), timeline.units(given_rules.min_length_s)
    for piece in pieces:
        assert shortest <= timeline.at(piece.end) - timeline.at(piece.start) <= longest
        assert 0 <= piece.shot.start <= piece.start < piece.end <= piece.shot.end <= len(timeline)
        assert {piece.start, piece.end} <= set(allowed)
    assert all(before.end <= after.start for before, after in pairwise(pieces))


@given(timelines(), cut_places, rules())
def test_pieces_lie_a_crop_away_from_shot_changes(
    timeline: Timeline, cuts: list[int], given_rules: LengthRules
) -> None:
    crop = timeline.units(given_rules.crop_s)
    for piece in cut(timeline, cuts, given_rules, list(range(len(timeline) + 1))):
        shot = piece.shot
        assert shot.start == 0 or timeline.at(piece.start) - timeline.at(shot.start) >= crop
        assert shot.end == len(timeline) or timeline.at(shot.end) - timeline.at(piece.end) >= crop


@given(timelines(), rules())
def test_splitting_a_piece_again_gives_the_piece(timeline: Timeline, given_rules: LengthRules) -> None:
    boundaries = list(range(len(timeline) + 1))
    for piece in cut(timeline, [], given_rules, boundaries):
        again = split_shot(Shot(piece.start, piece.end), timeline, given_rules, boundaries)
        assert [(p.start, p.end) for p in again] == [(piece.start, piece.end)]


@given(timelines(), cut_places)
def test_pieces_without_rules_cover_every_frame(timeline: Timeline, cuts: list[int]) -> None:
    pieces = cut(timeline, cuts, LengthRules(0, 1e6, 0), list(range(len(timeline) + 1)))
    assert [frame for piece in pieces for frame in range(piece.start, piece.end)] == list(range(len(timeline)))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("stride", [(0, 300), (300, 600), (600, 750), (766, 900)]), ("truncate", [(0, 300), (766, 900)])],
)
def test_pieces_crop_at_shot_changes_only(mode: LengthMode, expected: list[tuple[int, int]]) -> None:
    found = cut(steady(900), [758], LengthRules(2, 10, 0.25, mode), list(range(901)))
    assert [(piece.start, piece.end) for piece in found] == expected
    assert (found[0].starts_at_cut, found[0].ends_at_cut) == (False, False)
    assert (found[-1].starts_at_cut, found[-1].ends_at_cut) == (True, False)
    assert (found[0].shot.end_probability, found[-1].shot.start_probability) == (0.9, 0.9)


def test_pieces_leave_out_a_frame_longer_than_the_maximum() -> None:
    timeline = Timeline([0, 1, 2, 60, 61], 62, Fraction(1), (0,))
    assert [(p.start, p.end) for p in cut(timeline, [], LengthRules(0, 10, 0), list(range(6)))] == [(0, 2), (3, 5)]


@given(timelines(), st.floats(0.2, 4).map(lambda value: round(value, 2)))
def test_fixed_stride_tiles_the_stream(timeline: Timeline, length_s: float) -> None:
    found = list(fixed_stride(timeline, length_s=length_s, stride_s=length_s, min_length_s=0))
    assert [frame for start, end in found for frame in range(start, end)] == list(range(len(timeline)))


@given(timelines(), st.floats(0.2, 4), st.floats(0.2, 4), st.floats(0, 1))
def test_fixed_stride_keeps_order_and_minimum(
    timeline: Timeline, length: float, stride: float, shortest: float
) -> None:
    found = list(fixed_stride(timeline, length_s=length, stride_s=stride, min_length_s=shortest))
    assert found == sorted(set(found))
    assert all(0 <= start < end <= len(timeline) for start, end in found)


FIVE = [(0, 5), (2.5, 7.5), (5, 10), (7.5, 12.5), (10, 15), (12.5, 17.5), (15, 20), (17.5, 20)]


@pytest.mark.parametrize(
    ("num_frames", "length", "stride", "shortest", "expected"),
    [
        (600, 5, 2.5, 1, FIVE),
        (150, 5, 2.5, 1, [(0, 5), (2.5, 5)]),
        (30, 5, 2.5, 1, [(0, 1)]),
        (600, 2, 1, 3, []),
        (0, 5, 5, 0, []),
    ],
)
def test_fixed_stride_gives_the_reference_spans(
    num_frames: int, length: float, stride: float, shortest: float, expected: list[tuple[float, float]]
) -> None:
    timeline = steady(num_frames)
    found = fixed_stride(timeline, length_s=length, stride_s=stride, min_length_s=shortest)
    spans = [timeline.span(start, end) for start, end in found]
    assert [(span.start_s, span.end_s) for span in spans] == expected


def test_fixed_stride_counts_the_reference_clips() -> None:
    assert len(list(fixed_stride(steady(900), length_s=5, stride_s=2.5, min_length_s=1))) == 12
    assert len(list(fixed_stride(steady(150), length_s=1, stride_s=0.5, min_length_s=0.5))) == 10


def test_fixed_stride_passes_a_long_gap_at_once() -> None:
    timeline = Timeline([0, 1, 10**15], 10**15 + 2, Fraction(1), (0,))
    found = list(fixed_stride(timeline, length_s=3, stride_s=3, min_length_s=0))
    assert found == [(0, 2), (2, 3)]


def sampled_frames(num_frames: int, fps: float, rate: int = 30) -> list[int]:
    sampler = NearestSampler(fps, Fraction(1, rate))
    found: list[int] = []
    for frame in range(num_frames):
        selection = sampler.push(frame)
        found += [frame - 1] * selection.previous + [frame] * selection.current
    return found + [num_frames - 1] * sampler.finish()


@pytest.mark.parametrize(
    ("fps", "expected"), [(1, [0, 30, 59]), (2, [0, 15, 30, 45, 59]), (4, [0, 7, 15, 22, 30, 37, 45, 52, 59])]
)
def test_sampler_gives_the_reference_frames(fps: float, expected: list[int]) -> None:
    assert sampled_frames(60, fps) == expected


@pytest.mark.parametrize(("fps", "number", "last"), [(1, 11, [270, 299]), (2, 21, [285, 299])])
def test_sampler_ends_as_the_reference_does(fps: float, number: int, last: list[int]) -> None:
    assert (len(sampled_frames(300, fps)), sampled_frames(300, fps)[-2:]) == (number, last)


@given(timelines(), st.sampled_from([0.5, 1, 2, 7.3, 60]))
def test_sampler_equals_the_rule_written_out(timeline: Timeline, fps: float) -> None:
    sampler = NearestSampler(fps, timeline.time_base)
    found: list[int] = []
    for frame, pts in enumerate(timeline.pts):
        selection = sampler.push(pts)
        found += [frame - 1] * selection.previous + [frame] * selection.current
    found += [len(timeline) - 1] * sampler.finish()
    step, wanted, time = 1 / (exact_fraction(fps) * timeline.time_base), set[int](), Fraction(timeline.at(0))
    while time < timeline.pts[-1] + step / 2:
        wanted.add(min(range(len(timeline)), key=lambda frame: (abs(timeline.pts[frame] - time), frame)))
        time += step
    assert found == sorted(wanted)


def test_sampler_rejects_time_that_stands_still() -> None:
    sampler = NearestSampler(2, Fraction(1, 25))
    sampler.push(5)
    with pytest.raises(ValueError, match="pts must rise, got 5 after 5"):
        sampler.push(5)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([0.1, 0.2], []),
        ([0.1, 0.9, 0.1, 0.1], [(2, 0.9)]),
        ([0.1, 0.5, 0.8, 0.6, 0.1], [(3, 0.8)]),
        ([0.1, 0.1, 0.7], [(3, 0.7)]),
        ([0.4, 0.4], []),
    ],
)
def test_transitions_cut_after_the_most_probable_frame(
    probabilities: list[float], expected: list[tuple[int, float]]
) -> None:
    assert find_cuts(probabilities, 0.4) == expected


def test_shots_tile_the_stream_and_ignore_cuts_at_its_ends() -> None:
    cuts = [cut_at(0, 0.5), cut_at(3, 0.8), cut_at(5, 0.9)]
    assert shots_between(cuts, 5) == [Shot(0, 3, None, 0.8, None, cuts[1]), Shot(3, 5, 0.8, None, cuts[1], None)]


def test_shots_leave_out_the_frames_of_transitions() -> None:
    opening, middle = Transition(0, 4, "fade", 0.5), Transition(9, 12, "dissolve", 0.8)
    assert shots_between([opening, middle], 20) == [
        Shot(4, 9, 0.5, 0.8, opening, middle),
        Shot(12, 20, 0.8, None, middle, None),
    ]
    assert shots_between([middle, Transition(12, 20, "fade", 0.5)], 20) == [Shot(0, 9, None, 0.8, None, middle)]


@pytest.mark.parametrize("spans", [[(3, 9), (8, 12)], [(8, 12), (3, 5)], [(15, 21)]], ids=["over", "back", "beyond"])
def test_shots_rejects_transitions_out_of_place(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="must be in order and end within the 20 frames"):
        shots_between([Transition(start, end, "wipe", 0.9) for start, end in spans], 20)


@pytest.mark.parametrize(
    ("start", "end", "kind", "message"),
    [
        (3, 5, "cut", "must have start == end"),
        (3, 3, "fade", "any other transition start < end"),
        (5, 3, "wipe", "got a wipe from 5 to 3"),
        (3, 5, "zoom", "kind must be one of cut, dissolve"),
    ],
)
def test_transition_rejects_what_is_none(start: int, end: int, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transition(start, end, kind, 0.5)


def test_divide_shots_keeps_the_changes_at_the_ends() -> None:
    cut = cut_at(50, 0.9)
    shots = [Shot(0, 50, None, 0.9, None, cut), Shot(50, 100, 0.9, None, cut)]
    assert divide_shots(shots, [0, 20, 50, 70]) == [
        Shot(0, 20),
        Shot(20, 50, None, 0.9, None, cut),
        Shot(50, 70, 0.9, None, cut),
        Shot(70, 100),
    ]


def test_divide_pieces_leaves_none_over_a_break_and_drops_short_parts() -> None:
    timeline = Timeline(range(100), 100, Fraction(1, 10), breaks=[45, 95])
    first, second = Shot(0, 60, 0.8, 0.9), Shot(60, 100, 0.9, None)
    pieces = [Piece(10, 60, first, starts_at_cut=True, ends_at_cut=True), Piece(60, 100, second, starts_at_cut=True)]
    assert divide_pieces(pieces, timeline, min_length_s=1) == [
        Piece(10, 45, Shot(0, 45, 0.8, None), starts_at_cut=True),
        Piece(45, 60, Shot(45, 60, None, 0.9), ends_at_cut=True),
        Piece(60, 95, Shot(60, 95, 0.9, None), starts_at_cut=True),
    ]
    short = [Piece(0, 5, Shot(0, 45))]  # what the splitter makes stays
    assert divide_pieces(short, timeline, min_length_s=1) == short


@pytest.mark.parametrize(("start", "end", "expected"), [(1, 29, (10, 20)), (0, 30, (0, 30)), (11, 19, None)])
def test_snap_inward_moves_to_keyframes(start: int, end: int, expected: tuple[int, int] | None) -> None:
    assert snap_inward(start, end, keyframe_boundaries(steady(30, keyframes=(0, 10, 20)))) == expected


def test_timeline_knows_where_a_copy_may_end() -> None:
    timeline = steady(30, keyframes=(0, 10))
    assert [timeline.is_key(boundary) for boundary in (0, 5, 10, 30)] == [True, False, True, True]
