"""Suspected frames that their pictures prove whole."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.signals import Samples, Signals, acquit
from stages.signals.picture_proof import StepMeter, Suspects, proven_frames

GOP, NUM_FRAMES = 24, 60
Pictures = list[NDArray[np.uint8]]


def moving(seed: int = 1) -> Pictures:
    """A texture that pans by a pixel a frame, with some noise."""
    random = np.random.default_rng(seed)
    texture = cv2.resize(random.uniform(40, 220, (10, 22)), (176, 80), interpolation=cv2.INTER_CUBIC)
    noise = random.normal(0, 2, (NUM_FRAMES, 54, 96))
    panned = np.stack([texture[20:74, index : index + 96] for index in range(NUM_FRAMES)])
    return list((panned + noise).clip(0, 255).astype(np.uint8))


def spoilt(start: int, end: int) -> Pictures:
    """A grey slab over an eighth of the picture in frames [start, end)."""
    pictures = moving()
    for picture in pictures[start:end]:
        picture[27:, :24] = 128
    return pictures


def proven(
    pictures: Pictures,
    start: int,
    end: int,
    *,
    late_to: int = 0,
    gap: int | None = None,
    bad: int | None = None,
    keyframes: Sequence[int] = range(0, NUM_FRAMES, GOP),
) -> list[int]:
    """The proven ones of suspected frames [start, end), with a keyframe every 24 frames."""
    places, meter = np.arange(NUM_FRAMES), StepMeter()
    suspected = (places >= start) & (places < end)
    suspects = Suspects(suspected, places == bad, suspected & (places < late_to), places == gap, places < 0)
    changes = {
        int(step): meter.measure(pictures[step - 1], pictures[step])
        for step in np.flatnonzero(suspects.wanted_steps(keyframes))
    }
    return np.flatnonzero(proven_frames(suspects, keyframes, changes)).tolist()


def test_frames_that_go_on_as_before_are_whole_up_to_a_trusted_keyframe() -> None:
    assert proven(moving(), 30, 48) == list(range(30, 48))


@pytest.mark.parametrize(("start", "end"), [(30, 48), (34, 48), (30, 41), (35, 36)])
def test_a_slab_that_comes_or_goes_leaves_its_run_suspected(start: int, end: int) -> None:
    assert proven(spoilt(start, end), 30, 48) == []


def test_frames_that_lag_by_a_lost_one_and_catch_up_at_the_keyframe_stay_suspected() -> None:
    pictures = moving()
    lagging = [*pictures[:30], *pictures[29:47], *pictures[48:]]
    assert proven(lagging, 30, 48) == []


def test_a_camera_that_moves_unevenly_does_not_catch_up() -> None:
    shifts = np.cumsum(np.tile([0, 2], NUM_FRAMES // 2))
    pictures = moving()
    uneven = [np.roll(pictures[0], -shift, axis=1) for shift in shifts]
    assert proven(uneven, 30, 47, keyframes=[0, 24, 47]) == list(range(30, 47))


def test_missing_frames_break_the_chain_of_steps() -> None:
    pictures = moving()
    jumped = [*pictures[:36], *(np.roll(picture, 30, axis=1) for picture in pictures[36:])]
    assert proven(jumped, 30, 48, gap=36) == list(range(36, 48))


def test_without_a_trusted_frame_behind_them_nothing_is_proven() -> None:
    assert proven(moving(), 50, NUM_FRAMES) == []
    assert proven(moving(), 30, 48, bad=48) == []


def test_a_cut_at_the_keyframe_proves_nothing() -> None:
    assert proven([*moving(1)[:48], *moving(2)[48:]], 30, 48) == []


def test_a_still_picture_is_whole_up_to_a_cut_at_a_keyframe_out_of_turn() -> None:
    stills = [*[moving(1)[0]] * 48, *[moving(2)[0]] * 12]
    assert proven(stills, 30, 48, gap=30, keyframes=[0, 26, 48]) == list(range(30, 48))
    assert proven(stills, 30, 48, gap=30) == [], "at its turn a keyframe may end what stood still by damage"
    assert proven([*stills[:40], *moving(1)[40:48], *stills[48:]], 30, 48, keyframes=[0, 26, 48]) == []


def test_frames_that_look_as_the_trusted_one_behind_them_are_whole_whatever_was_before() -> None:
    changed = [*[moving(1)[0]] * 36, *[moving(2)[0]] * 24]
    assert proven(changed, 30, 48) == list(range(36, 48))


def test_a_run_is_proven_by_the_proven_run_behind_it() -> None:
    assert proven(moving(), 30, 55) == list(range(30, 55))


def test_of_damage_that_is_noticed_late_the_frames_before_the_first_sudden_step_are_whole() -> None:
    assert proven(spoilt(37, NUM_FRAMES), 30, NUM_FRAMES, late_to=42) == list(range(30, 37))
    assert proven(moving(), 30, NUM_FRAMES, late_to=42) == list(range(30, 42))
    assert proven(spoilt(24, NUM_FRAMES), 24, NUM_FRAMES, late_to=42) == [], "the keyframe itself may be damaged"


def test_a_video_without_suspects_is_not_opened_again() -> None:
    none = np.zeros(NUM_FRAMES, np.bool_)
    frames = np.arange(NUM_FRAMES)
    damage = Samples(frames, {"is_damaged": none})
    signals = Signals(frames, frames[::GOP], NUM_FRAMES, Fraction(1, 25), None, {"damage": damage})
    assert acquit(signals, Suspects(none, none, none, none, none), pytest.fail) is signals
