"""From what is measured of each frame to typed transitions: signals whose transitions are known by construction."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.split.frame_signals import FrameSignals
from stages.split.spans import Timeline, shots_between
from stages.split.transition_rules import TransitionRules, find_transitions

RULES = TransitionRules(threshold=0.4, static_threshold=3.0)
NUM_FRAMES = 250


class Made:
    """Signals of a shot with some motion, and what is done to them."""

    def __init__(self, num_frames: int = NUM_FRAMES, rate: int = 25) -> None:
        self.rate = rate
        steady: dict[str, float] = {
            "shot_probability": 0,
            "transition_probability": 0,
            "still_change": 2,
            "change_spread": 0.25,
            "change_coherence": 0.1,
            "contrast": 50,
            "return_change": 60,
            "return_frames": 2,
            "wipe_share": 0,
            "wipe_order": 1,
            "wipe_length": 0,
            "settled_change": 0,
            "settled_share": 0,
            "settled_area": 0,
            "settled_length": 0,
        }
        self.columns = {name: np.full(num_frames, value, np.float32) for name, value in steady.items()}

    def put(self, name: str, start: int, end: int, values: float | NDArray[Any]) -> "Made":
        self.columns[name][start:end] = values
        return self

    def cut(self, frame: int, probability: float = 0.9) -> "Made":
        self.put("shot_probability", frame - 1, frame, probability)
        self.put("transition_probability", frame - 1, frame, probability)
        return self.put("still_change", frame, frame + 1, 60)

    def gradual(self, start: int, end: int, probability: float = 0.8) -> "Made":
        """A run of the second output from its first frame to its last, over a dissolve."""
        self.put("shot_probability", (start + end) // 2, (start + end) // 2 + 1, 0.5)
        self.put("transition_probability", start, end, probability)
        return self.put("change_coherence", start, end, 0.9).put("change_spread", start, end, 0.6)

    def fed(self, stride: int) -> "Made":
        """As where the network got one frame in `stride`."""
        for name in ("shot_probability", "transition_probability"):
            self.columns[name][np.arange(len(self.columns[name])) % stride > 0] = np.nan
        return self

    def found(self, rules: TransitionRules = RULES) -> list[tuple[int, int, str]]:
        timeline = Timeline(range(len(self.columns["contrast"])), len(self.columns["contrast"]), Fraction(1, self.rate))
        transitions = find_transitions(FrameSignals.of(self.columns, timeline), timeline, rules)
        return [(each.start, each.end, each.kind) for each in transitions]


def fade(made: Made, out: tuple[int, int], back: tuple[int, int]) -> Made:
    """Contrast that falls from one frame to another, stays at 0, and rises."""
    made.put("contrast", *out, np.linspace(50, 0, out[1] - out[0], endpoint=False))
    made.put("contrast", out[1], back[0], 0.0).put("change_spread", out[1], back[0], 0.0)
    made.put("contrast", *back, np.linspace(0, 50, back[1] - back[0], endpoint=False))
    return made.put("change_coherence", out[0], out[1], 0.8).put("change_coherence", *back, 0.8)


def test_shot_with_motion_has_no_transition() -> None:
    assert Made().found() == []
    assert Made(0).found() == []


def test_cuts_are_found_where_the_picture_changes() -> None:
    assert Made().cut(50).cut(120, 0.5).cut(200, 0.35).found() == [(50, 50, "cut"), (120, 120, "cut")]


def test_cut_between_the_frames_that_the_network_got_is_placed_at_the_change() -> None:
    made = Made(rate=50).put("shot_probability", 100, 101, 0.9).put("transition_probability", 100, 101, 0.9)
    assert made.put("still_change", 102, 103, 60).fed(2).found() == [(102, 102, "cut")]


def test_dissolve_is_left_out_whole() -> None:
    made = Made().gradual(100, 130).put("transition_probability", 96, 100, 0.2)
    assert made.found() == [(96, 130, "dissolve")]


def test_dissolve_goes_on_as_long_as_the_picture_changes_steadily() -> None:
    made = Made().gradual(100, 130)
    made.put("change_coherence", 130, 145, 0.9).put("change_spread", 130, 145, 0.6)  # the network lets go early
    made.put("change_coherence", 80, 100, 0.9)  # a slow pan before: steady, but not spread
    assert made.found() == [(100, 145, "dissolve")]


def test_fade_through_one_colour_is_one_transition_that_the_network_need_not_see() -> None:
    [(start, end, kind)] = fade(Made(), (90, 110), (120, 150)).found()
    assert kind == "fade"
    assert 90 <= start <= 93
    assert 147 <= end <= 150


def test_pictures_of_one_colour_that_last_are_a_shot_between_two_fades() -> None:
    (first, last), (again, end) = [(start, end) for start, end, _ in fade(Made(), (60, 80), (150, 180)).found()]
    assert 60 <= first <= 63
    assert 79 <= last <= 80
    assert 150 <= again <= 152
    assert 177 <= end <= 180


def test_fades_at_the_ends_of_a_video_reach_its_ends() -> None:
    made = Made().put("contrast", 0, 40, np.linspace(0, 50, 40)).put("change_coherence", 0, 40, 0.8)
    made.put("contrast", 220, 250, np.linspace(50, 0, 30)).put("change_coherence", 220, 250, 0.8)
    (start, end, _), (again, last, _) = made.found()
    assert (start, last) == (0, NUM_FRAMES)
    assert 37 <= end <= 40
    assert 220 <= again <= 223


def test_black_at_an_end_that_begins_at_once_is_no_fade() -> None:
    assert Made().put("contrast", 0, 30, 0.0).cut(30).found() == [(30, 30, "cut")]


def edge(made: Made, start: int, end: int, order: float = 0.1) -> Made:
    """An edge that passes over nearly all of the picture, and stands in the windows that end up to 10 frames later."""
    made.put("wipe_share", end - 1, end + 9, 0.9).put("wipe_order", end - 1, end + 9, order)
    return made.put("wipe_length", end - 1, end + 9, np.arange(end - start, end - start + 10))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda made: made, "dissolve"),
        (lambda made: made.put("change_coherence", 100, 130, 0.0).put("change_spread", 100, 130, 0.3), "dissolve"),
        (lambda made: made.put("change_coherence", 100, 130, -0.2).put("change_spread", 100, 130, 0.7), "other"),
        (lambda made: made.put("contrast", 110, 120, 20.0), "fade"),
        (lambda made: made.put("contrast", 130, NUM_FRAMES, 10.0), "fade"),
        (lambda made: edge(made, 100, 130), "wipe"),
        (lambda made: edge(made, 100, 130, 0.9), "dissolve"),
    ],
    ids=["still", "moving", "push", "through grey", "to a title", "wipe", "no edge"],
)
def test_transitions_are_told_apart(make: Callable[[Made], Made], kind: str) -> None:
    assert make(Made().gradual(100, 130)).found() == [(100, 130, kind)]


def test_wipe_is_found_without_the_network() -> None:
    [(start, end, kind)] = edge(Made(), 100, 140).found()
    assert kind == "wipe"
    assert 90 <= start <= 100
    assert 140 <= end <= 150
    assert edge(Made(), 100, 140, order=0.5).found() == []
    assert edge(Made(), 100, 140).cut(120).found() == [(120, 120, "cut")], "a cut is no wipe"


def test_flash_changes_no_shot() -> None:
    flash = Made().cut(50).cut(52)
    assert [start for start, _, _ in flash.found()] == [50, 52]
    assert flash.put("return_change", 52, 53, 1.0).put("return_frames", 52, 53, 3).found() == []
    after_it = Made().cut(48).cut(50).cut(52).put("return_change", 52, 53, 1.0).put("return_frames", 52, 53, 3)
    assert after_it.found() == [(48, 48, "cut")], "what returned is the new shot"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("stride", [1, 2])
def test_transitions_lie_in_order_whatever_was_measured(seed: int, stride: int) -> None:
    random = np.random.default_rng(seed)
    made = Made(400)
    for name in ("shot_probability", "transition_probability", "wipe_share", "wipe_order"):
        made.put(name, 0, 400, random.random(400) ** random.integers(1, 6))
    for name, most in (("still_change", 60), ("contrast", 20), ("return_change", 60), ("return_frames", 6)):
        made.put(name, 0, 400, random.integers(0, most, 400).astype(float))
    made.put("wipe_length", 0, 400, random.integers(0, 65, 400).astype(float))
    made.put("change_coherence", 0, 400, random.uniform(-1, 1, 400)).put("change_spread", 0, 400, random.random(400))
    columns = made.fed(stride).columns
    timeline = Timeline(range(400), 400, Fraction(1, 25))
    found = find_transitions(FrameSignals.of(columns, timeline), timeline, RULES)
    shots = shots_between(found, 400)  # raises where two overlap
    assert found
    inside = [frame for each in found for frame in range(each.start, each.end)]
    assert sorted([*inside, *(frame for shot in shots for frame in range(shot.start, shot.end))]) == list(range(400))


def test_still_picture_that_is_replaced_is_a_cut_without_the_network() -> None:
    made = Made().put("still_change", 0, NUM_FRAMES, 0.0).put("still_change", 100, 101, 8.0)
    assert made.found() == [(100, 100, "cut")]
    assert made.found(TransitionRules(0.4, 0)) == []


def settled(made: Made, start: int, end: int, share: float = 1.0, area: float = 0.4) -> Made:
    """Still pictures around frames that change evenly by 8 levels in all, as seen in the window that ends there."""
    made.put("still_change", 0, NUM_FRAMES, 0.02).put("still_change", start, end, 8.0 / max(1, end - start))
    sample = (end + 3) // 4 * 4 + 11
    made.put("settled_change", sample, sample + 1, 8.0).put("settled_share", sample, sample + 1, share)
    made.put("settled_area", sample, sample + 1, area)
    return made.put("settled_length", sample, sample + 1, (end + 3) // 4 * 4 - start // 4 * 4)


def test_still_picture_that_slowly_gives_way_is_a_transition_without_the_network() -> None:
    [(start, end, kind)] = settled(Made(), 101, 141).found()
    assert kind == "dissolve"
    assert 101 <= start <= 103
    assert 139 <= end <= 142
    assert settled(Made(), 101, 102).found() == [(101, 101, "cut")]
    assert settled(Made(), 101, 141).found(TransitionRules(0.4, 9.0)) == []


def test_cut_of_the_network_in_a_slow_change_is_part_of_it() -> None:
    made = settled(Made(), 101, 141)
    made.put("shot_probability", 120, 121, 0.6).put("transition_probability", 120, 121, 0.6)
    [(start, end, _)] = made.found()
    assert start <= 103
    assert end >= 139
    assert made.put("still_change", 121, 122, 20.0).found() == [(121, 121, "cut")], "most changes at once"


@pytest.mark.parametrize(("share", "area"), [(0.8, 0.4), (1.0, 0.2)], ids=["something moves", "a title"])
def test_other_changes_of_still_pictures_are_no_transition(share: float, area: float) -> None:
    assert settled(Made(), 101, 141, share, area).found() == []


def test_weak_cut_is_one_where_the_picture_stands_still_on_one_side() -> None:
    made = Made().cut(100, 0.3)
    assert made.found() == []
    assert made.put("still_change", 90, 100, 0.2).found() == [(100, 100, "cut")]


def test_gradual_transition_beside_a_cut_is_one_with_it_where_no_shot_lies_between() -> None:
    assert Made().cut(96).gradual(100, 130).found() == [(96, 130, "dissolve")]
    assert Made().cut(90).gradual(100, 130).found() == [(90, 90, "cut"), (100, 130, "dissolve")]
    assert Made().cut(96).cut(100).found() == [(96, 96, "cut"), (100, 100, "cut")], "two cuts stay"
