"""Small pictures of large frames are those of the frames themselves."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import UprightScaler, decode_frames, fit, open_video, reduced_frame
from stages.tasks import Size
from tests.videos import noise_shot, remux, write_video


def frame(width: int, height: int, pixel_format: str = "yuv420p") -> av.VideoFrame:
    """Coloured shapes of all sizes, and noise."""
    random = np.random.default_rng(width)
    picture = random.integers(90, 110, (height, width, 3)).astype(np.uint8)
    for _ in range(60):
        x, y, size = (int(random.integers(limit)) for limit in (width, height, height // 3))
        picture[y : y + size, x : x + size] = random.integers(0, 256, 3)
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)


def luma(of: av.VideoFrame) -> NDArray[np.float64]:
    plane = of.planes[0]
    kind = np.uint8 if of.format.components[0].bits == 8 else np.uint16
    lines = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)
    return lines[:, : plane.width].astype(np.float64)


@pytest.mark.parametrize(
    ("width", "height", "pixel_format", "steps"),
    [
        (1280, 720, "yuv420p", 1),
        (1920, 1080, "yuv420p", 2),
        (1080, 1920, "yuvj420p", 2),
        (1920, 1080, "yuv422p10le", 2),
        (3200, 160, "yuv420p", 3),
        (1920, 1078, "yuv444p", 1),
        (1600, 800, "gray", 2),
    ],
)
def test_pixels_are_means(width: int, height: int, pixel_format: str, steps: int) -> None:
    whole = frame(width, height, pixel_format)
    reduced = reduced_frame(whole)
    side = 1 << steps
    assert (reduced.width, reduced.height) == (width // side, height // side)
    assert reduced.format.name == pixel_format
    expected = luma(whole).reshape(height // side, side, width // side, side).mean(axis=(1, 3))
    assert np.abs(luma(reduced) - expected).max() <= steps / 2


@pytest.mark.parametrize(
    ("width", "height", "pixel_format"),
    [(640, 360, "yuv420p"), (854, 480, "yuv420p"), (1280, 718, "yuv420p"), (1280, 720, "nv12"), (1280, 720, "rgb24")],
)
def test_frames_without_such_a_size_stay(width: int, height: int, pixel_format: str) -> None:
    whole = frame(width, height, pixel_format)
    assert reduced_frame(whole) is whole


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv420p10le", "yuv444p"])
def test_small_pictures_are_those_of_the_frame(pixel_format: str) -> None:
    whole = frame(1920, 1080, pixel_format)
    scaler = UprightScaler(Size(48, 27))
    direct, reduced = (scaler(whole, pixels).astype(int) for pixels in (None, reduced_frame(whole)))
    assert np.abs(direct - reduced).mean() < 1.5
    assert np.percentile(np.abs(direct - reduced), 99) <= 8


@pytest.mark.parametrize(("pixel_format", "black", "span"), [("yuv420p", 16, 219), ("yuvj420p", 0, 255)])
def test_small_luma_is_as_near_to_the_mean_of_its_pixels(pixel_format: str, black: int, span: int) -> None:
    whole = frame(1920, 1080, pixel_format)
    means = luma(whole).reshape(90, 12, 160, 12).mean(axis=(1, 3))
    truth = (means - black) * 255 / span
    scaler = UprightScaler(Size(160, 90), pixel_format="gray")
    direct, reduced = (np.abs(scaler(whole, pixels) - truth) for pixels in (None, reduced_frame(whole)))
    assert reduced.mean() <= direct.mean()


def test_orientation_and_colour_are_those_of_the_frame(tmp_path: Path) -> None:
    upright = write_video(tmp_path / "a.mp4", noise_shot(1, 2, width=1280, height=720))
    path = remux(upright, tmp_path / "turned.mp4", rotation=90)
    with open_video(str(path)) as container:
        turned = next(decode_frames(container)).frame
    scaler = UprightScaler(fit(Size(720, 1280), 64), pixel_format="rgb24")
    direct, reduced = (scaler(turned, pixels).astype(int) for pixels in (None, reduced_frame(turned)))
    assert direct.shape == (64, 36, 3)
    assert np.abs(direct - reduced).mean() < 1.5
