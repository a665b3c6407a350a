"""Of fast motion, frames between hashed pictures are recorded too; of what moves evenly or stands still, none is."""

from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import DecodedFrame
from stages.signals import FrameScaler, Samples
from stages.signals.fast_recorder import FastRecorder
from stages.signals.hashes import HashRecorder

Luma = NDArray[np.uint8]


def scene(seed: int, width: int = 320) -> Luma:
    coarse = np.random.default_rng(seed).integers(30, 226, (9, width // 20)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, 180), interpolation=cv2.INTER_CUBIC), np.uint8)


LANDSCAPE = scene(99, 640)
MOTIONS: dict[str, Callable[[float], Luma]] = {
    "still": lambda second: scene(1),
    "pan": lambda second: np.ascontiguousarray(LANDSCAPE[:, int(40 * second) :][:, :320]),
    "water": lambda second: scene(1) // 2 + scene(1000 + round(1000 * second)) // 4,
}


def recorded(motion: str, rate: int, seconds: float) -> tuple[Samples, Samples]:
    """Hashed pictures, and those between."""
    recorder, scaler = HashRecorder(Fraction(1, rate)), FrameScaler()
    for index in range(round(seconds * rate)):
        frame = av.VideoFrame.from_ndarray(MOTIONS[motion](index / rate), format="gray")
        recorder.push(scaler(DecodedFrame(frame, index, index, True)))
    return recorder.samples(), FastRecorder(recorder).samples()


@pytest.mark.parametrize("motion", ["still", "pan"])
def test_what_a_mean_of_two_pictures_tells_is_not_recorded(motion: str) -> None:
    hashed, fast = recorded(motion, 30, 3)
    assert len(hashed) == 24
    assert fast["fast_thumbnail"].shape == (0, 576)


@pytest.mark.parametrize("rate", [24, 25, 30])
def test_of_fast_motion_every_frame_is_recorded(rate: int) -> None:
    """From the third hashed picture on, which is the first that can tell."""
    hashed, fast = recorded("water", rate, 3)
    assert sorted([*hashed.frame, *fast.frame]) == sorted([*hashed.frame[:2], *range(hashed.frame[2], 3 * rate)])
    for frame, picture in zip(fast.frame, fast["fast_thumbnail"], strict=True):
        shown = cv2.resize(MOTIONS["water"](frame / rate), (24, 24), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(picture.reshape(24, 24) - shown).mean() < 3


@pytest.mark.parametrize("rate", [50, 60, 120])
def test_of_high_rates_no_more_than_32_a_second_are(rate: int) -> None:
    hashed, fast = recorded("water", rate, 3)
    both = np.sort([*hashed.frame, *fast.frame]) / rate
    assert 1 / 32 - 1e-9 <= np.diff(both[2:]).max() <= 1 / 32 + 1 / rate
    assert len(both) <= 32 * 3 + 1
