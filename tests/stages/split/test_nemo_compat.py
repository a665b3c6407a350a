"""NeMo Curator's scene rules: the pinned pairs of input and output, quirks included."""

import pytest

from stages.split.nemo_compat import FrameLengthRules, Scene, consecutive_spans, filter_scenes, scenes, scenes_or_whole

S = [(0, 30), (30, 90), (90, 150)]


@pytest.mark.parametrize(
    ("predictions", "whole", "none"),
    [
        ("00100", [(0, 2), (3, 4)], [(0, 2), (3, 4)]),
        ("00000", [(0, 5)], []),
        ("11111", [(0, 5)], []),
        ("010010", [(0, 1), (2, 4), (5, 5)], [(0, 1), (2, 4), (5, 5)]),
        ("0001", [(0, 3)], [(0, 3)]),
        ("1000", [(0, 4)], []),
        ("1100100", [(2, 4), (5, 6)], [(2, 4), (5, 6)]),
    ],
)
def test_scenes_give_the_reference_lists(predictions: str, whole: list[Scene], none: list[Scene]) -> None:
    values = [value == "1" for value in predictions]
    assert scenes_or_whole(values) == whole
    assert scenes(values) == none


@pytest.mark.parametrize(
    ("given", "rules", "expected"),
    [
        (S, FrameLengthRules(), S),
        (S, FrameLengthRules(min_length=40), [(30, 90), (90, 150)]),
        (S, FrameLengthRules(max_length=50, mode="truncate"), [(0, 30), (30, 80), (90, 140)]),
        (S, FrameLengthRules(crop=5), [(5, 25), (35, 85), (95, 145)]),
        ([(0, 8), (10, 18)], FrameLengthRules(crop=5), []),
        ([(0, 8), (10, 30)], FrameLengthRules(crop=5), [(15, 25)]),
    ],
)
def test_filter_scenes_gives_the_reference_lists(
    given: list[Scene], rules: FrameLengthRules, expected: list[Scene]
) -> None:
    assert filter_scenes(given, rules) == expected


@pytest.mark.parametrize(
    ("scene", "stride", "truncate"),
    [
        ((0, 900), [(15, 285), (315, 585), (615, 885)], [(15, 285)]),
        ((0, 650), [(15, 285), (315, 585)], [(15, 285)]),
        ((0, 89), [], []),
        ((0, 90), [(15, 75)], [(15, 75)]),
    ],
)
def test_filter_scenes_gives_the_reference_defaults(scene: Scene, stride: list[Scene], truncate: list[Scene]) -> None:
    assert filter_scenes([scene], FrameLengthRules(60, 300, 15, "stride")) == stride
    assert filter_scenes([scene], FrameLengthRules(60, 300, 15, "truncate")) == truncate


def test_filter_scenes_rejects_another_mode() -> None:
    with pytest.raises(ValueError, match="mode must be 'stride' or 'truncate', got 'invalid'"):
        filter_scenes(S, FrameLengthRules(max_length=50, mode="invalid"))


@pytest.mark.parametrize(
    ("end", "shortest", "expected"),
    [
        (100, 10, [(0, 30), (30, 60), (60, 90), (90, 100)]),
        (95, 10, [(0, 30), (30, 60), (60, 90)]),
        (95, 0, [(0, 30), (30, 60), (60, 90), (90, 95)]),
        (0, 0, []),
    ],
)
def test_spans_give_the_reference_lists(end: int, shortest: int, expected: list[Scene]) -> None:
    assert list(consecutive_spans(0, end, max_length=30, min_length=shortest)) == expected
