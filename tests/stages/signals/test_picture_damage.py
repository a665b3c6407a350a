"""Damage in pictures: a part that snaps back at a keyframe."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.signals.picture_damage import SnapBackDetector

GOP, NUM_FRAMES = 24, 96
Pictures = list[NDArray[np.uint8]]


def moving(seed: int = 1) -> Pictures:
    """A texture that pans by a pixel every other frame, as animations move, with some noise."""
    random = np.random.default_rng(seed)
    texture = np.kron(random.integers(100, 150, (14, 48)), np.ones((8, 8))).astype(np.int16)
    noise = random.normal(0, 2, (NUM_FRAMES, 54, 96))
    panned = np.stack([texture[20:74, index // 2 : index // 2 + 96] for index in range(NUM_FRAMES)])
    return list((panned + noise).clip(0, 255).astype(np.uint8))


def spoil(pictures: Pictures, start: int, end: int, *, ramp: int = 1) -> Pictures:
    """A bright slab over a quarter of the picture in frames [start, end), blended out over the last frames."""
    spoilt = [picture.copy() for picture in pictures]
    for index in range(start, end):
        weight = min(1.0, (end - index) / ramp)
        part = spoilt[index][27:, :48]
        part[:] = part * (1 - weight) + 235 * weight
    return spoilt


def scores(pictures: Pictures, keys: range | list[int] = range(0, NUM_FRAMES, GOP)) -> list[float]:
    detector = SnapBackDetector()
    for index, picture in enumerate(pictures):
        detector.push(picture, is_keyframe=index in keys)
    return detector.scores().tolist()


def test_a_whole_video_has_no_damage() -> None:
    assert not any(scores(moving()))


@pytest.mark.parametrize("ramp", [1, 3])
def test_a_slab_up_to_the_keyframe_is_damage_of_its_gop(ramp: int) -> None:
    found = np.flatnonzero(scores(spoil(moving(), 30, 48, ramp=ramp)))
    assert found.tolist() == list(range(20, 48)), "with the leading frames of its keyframe"


def test_the_last_keyframe_is_judged_without_frames_after_it() -> None:
    assert any(scores(spoil(moving()[:73], 60, 72)))


def test_a_cut_at_a_keyframe_is_no_damage() -> None:
    assert not any(scores([*moving(1)[:48], *moving(2)[48:]]))


def test_a_thing_that_appears_at_a_keyframe_is_no_damage() -> None:
    still = [moving()[0]] * NUM_FRAMES
    assert not any(scores(spoil(still, 48, NUM_FRAMES)))


def test_a_keyframe_put_for_the_change_itself_does_not_count() -> None:
    assert not any(scores(spoil(moving(), 30, 40), [0, 24, 40, 72]))


def test_of_a_long_gop_the_end_is_looked_at() -> None:
    still = [moving()[0]] * 700
    found = scores(spoil(still, 550, 600), [0, 600])
    assert found[599] > 0.1
