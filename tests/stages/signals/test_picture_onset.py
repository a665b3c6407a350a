"""Frames at which a part of the picture changes at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.signals.picture_onset import OnsetDetector
from tests.stages.signals.test_picture_damage import moving, spoil

Picture = NDArray[np.uint8]


def onsets(pictures: Sequence[Picture]) -> list[int]:
    detector = OnsetDetector()
    return [index for index, picture in enumerate(pictures) if detector.push(picture)]


def test_a_slab_is_doubted_where_it_comes_and_where_it_goes() -> None:
    assert onsets(spoil(moving(), 40, 60)) == [40, 60]


def test_motion_and_noise_are_no_onsets() -> None:
    assert onsets(moving()) == []


def test_a_picture_that_jumps_all_the_time_has_no_onsets() -> None:
    random = np.random.default_rng(1)
    texture = random.integers(0, 255, (12, 32)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
    jumping = [texture[:54, offset : offset + 96] for offset in random.integers(0, 150, 80)]
    assert len(onsets(jumping)) < 5


def test_the_first_pictures_are_compared_with_nothing() -> None:
    assert onsets(moving(1)[:1]) == []
    assert onsets([moving(1)[0], moving(2)[0]]) == []
