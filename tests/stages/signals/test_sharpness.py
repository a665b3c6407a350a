"""Sharpness is sharpness: the same at every size, less with every step of blur, whatever the pixels are stored as."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import DecodedFrame
from stages.signals import FrameScaler
from stages.signals.sharpness import SharpnessRecorder, measure_sharpness

SIGMAS = (0, 0.5, 1, 1.5, 2, 3, 4, 6, 8)


def resized(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if height <= picture.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=method).astype(np.uint8)


def blurred(picture: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.uint8) if sigma else picture


def scene(height: int) -> NDArray[np.uint8]:
    """Dark and bright shapes with round and straight edges, drawn at 2160 lines and scaled down."""
    random = np.random.default_rng(3)
    picture = np.full((2160, 3840), 110, np.uint8)
    for _ in range(90):
        x, y, size = (int(random.integers(limit)) for limit in (3840, 2160, 260))
        level = int(random.integers(20, 235))
        if random.random() < 0.5:
            cv2.circle(picture, (x, y), 40 + size // 2, level, -1)
        else:
            cv2.rectangle(picture, (x, y), (x + 60 + size, y + 60 + size // 2), level, -1)
    return resized(picture, height * 16 // 9, height)


def sharpness(frame: av.VideoFrame, *, pixel_aspect: Fraction = Fraction(1)) -> float:
    recorder, scaler = SharpnessRecorder(Fraction(1, 25)), FrameScaler()
    recorder.push(scaler(DecodedFrame(frame, 0, 0, True, pixel_aspect=pixel_aspect)))
    return SharpnessRecorder.reduce(recorder.samples(), 0, 1)["sharpness"]


def detail(frame: av.VideoFrame) -> float:
    recorder, scaler = SharpnessRecorder(Fraction(1, 25)), FrameScaler()
    recorder.push(scaler(DecodedFrame(frame, 0, 0, True)))
    return SharpnessRecorder.reduce(recorder.samples(), 0, 1)["detail"]


def gray(picture: NDArray[np.uint8]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="gray")


@pytest.mark.parametrize("height", [480, 540, 720, 1080, 1440])
def test_sharpness_is_the_same_at_every_size(height: int) -> None:
    assert measure_sharpness(scene(height)) == pytest.approx(measure_sharpness(scene(360)), rel=0.1)


@pytest.mark.parametrize("height", [360, 720, 1080])
def test_sharpness_falls_with_each_step_of_blur(height: int) -> None:
    sharp = scene(height)
    scores = [measure_sharpness(blurred(sharp, sigma)) for sigma in SIGMAS]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)
    assert scores[-1] < 0.5 * scores[0]


def test_sharpness_of_a_blur_is_that_of_the_same_blur_in_another_size() -> None:
    small, large = (blurred(scene(height), height / 180) for height in (360, 1080))
    assert measure_sharpness(small) == pytest.approx(measure_sharpness(large), rel=0.1)


def test_an_enlarged_picture_is_no_sharper_than_it_was() -> None:
    small = scene(180)
    enlarged = resized(small, 1280, 720)
    assert measure_sharpness(small) < 0.95 * measure_sharpness(scene(720))
    assert measure_sharpness(enlarged) == pytest.approx(measure_sharpness(small), rel=0.1)


@pytest.mark.parametrize(("factor", "least", "most"), [(1, 0.9, 2.0), (1.5, 0.6, 0.95), (2, 0.4, 0.8), (4, 0.0, 0.7)])
def test_detail_tells_an_enlarged_picture(factor: float, least: float, most: float) -> None:
    for height in (270, 480):
        picture = resized(scene(height), round(height * 16 / 9 * factor), round(height * factor))
        assert least <= detail(gray(picture)) <= most


def test_contrast_and_range_do_not_count_as_sharpness() -> None:
    sharp = scene(360)
    faint = (sharp * 0.5 + 60).astype(np.uint8)
    assert measure_sharpness(faint) == pytest.approx(measure_sharpness(sharp), rel=0.1)


@pytest.mark.parametrize(
    "pixels", ["yuv420p", "yuvj420p", "nv12", "yuv422p10le", "gray10le", "rgb24", "yuyv422", "gbrp"]
)
def test_sharpness_is_the_same_in_every_pixel_format(pixels: str) -> None:
    frame = gray(scene(360))
    assert sharpness(frame.reformat(format=pixels)) == pytest.approx(sharpness(frame), rel=0.05)


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(4, 3)])
def test_sharpness_knows_pixels_that_are_not_square(aspect: Fraction) -> None:
    whole = scene(720)
    squeezed = resized(whole, round(1280 / aspect), 720)
    assert sharpness(gray(squeezed), pixel_aspect=aspect) == pytest.approx(sharpness(gray(whole)), rel=0.1)


@pytest.mark.parametrize("shape", [(360, 640), (16, 16), (2, 500), (500, 2)])
def test_sharpness_of_a_flat_picture_is_nought(shape: tuple[int, int]) -> None:
    assert measure_sharpness(np.full(shape, 90, np.uint8)) == pytest.approx(0, abs=0.01)


def test_sharpness_of_a_clip_is_that_of_its_sharper_frames() -> None:
    recorder, scaler = SharpnessRecorder(Fraction(1, 25)), FrameScaler()
    sharp, soft = (gray(each) for each in (scene(360), blurred(scene(360), 5)))
    for index in range(100):
        recorder.push(scaler(DecodedFrame(sharp if index < 50 else soft, index, index, True)))
    samples = recorder.samples()
    both, last, none = (
        SharpnessRecorder.reduce(samples, *frames)["sharpness"] for frames in ((0, 100), (60, 100), (100, 120))
    )
    assert len(samples) == 6
    assert both == pytest.approx(sharpness(sharp))
    assert last == pytest.approx(sharpness(soft))
    assert none is None
