"""The codec's motion vectors."""

import gc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import decode_frames, open_video
from stages.signals import FrameScaler, Recorder, Samples
from stages.signals.vectors import VectorRecorder, vector_lengths
from stages.tasks import Size
from tests.videos import noise_shot, write_video

KIND = np.dtype(
    [
        *((name, np.uint8) for name in ("w", "h")),
        *((name, np.int16) for name in ("dst_x", "dst_y")),
        *((name, np.int32) for name in ("motion_x", "motion_y", "motion_scale")),
    ]
)
FULL = [(16, 16, 8 + 16 * x, 8 + 16 * y, 8, 6, 4) for y in range(16) for x in range(16)]
LEFT = [(16, 16, 8 + 16 * x, 8 + 16 * y, 8, 6, 4) for y in range(32) for x in range(16)]


def vectors(rows: list[tuple[int, ...]]) -> NDArray[np.void]:
    return np.array(rows, KIND)


@pytest.mark.parametrize(
    ("rows", "side", "mean", "patch"),
    [
        ([(8, 8, 32, 32, 1, 1, 1)], 256, 64 * 2**0.5 / 512 / 65536, 0.0),
        ([(16, 16, 128, 128, 4, 0, 4)], 256, 7.62939453125e-06, 0.001953125),
        (FULL, 256, 0.0048828125, 0.0048828125),
        (LEFT, 512, 0.001220703125, 0.0),
        ([(4, 4, 32, 32, 40, 0, 4)], 256, 0.0, 0.0),
        ([], 256, 0.0, 0.0),
    ],
)
def test_vector_lengths_give_the_reference_scores(
    rows: list[tuple[int, ...]], side: int, mean: float, patch: float
) -> None:
    found, patches = vector_lengths(vectors(rows), Size(side, side))
    assert found == pytest.approx(mean, rel=1e-6)
    assert float(patches.min()) == pytest.approx(patch, rel=1e-6)


@pytest.mark.parametrize(("size", "grid"), [((1920, 1080), (4, 8)), ((1280, 720), (3, 5)), ((640, 480), (2, 2))])
def test_vector_lengths_have_the_reference_grid(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert vector_lengths(vectors([]), Size(*size))[1].shape == grid


@pytest.mark.parametrize("offset", [0, 3])
def test_vector_lengths_read_patches_as_bilinear_shrinking(offset: int) -> None:
    random = np.random.default_rng(offset)
    places = [(16 * x + 8 + offset, 16 * y + 8) for y in range(45) for x in range(80)]
    rows: list[tuple[int, ...]] = [(16, 16, x, y, *random.integers(-9, 9, 2).tolist(), 4) for x, y in places]
    painted = np.zeros((720, 1280), np.float32)
    for _, _, x, y, right, down, scale in rows:
        painted[y - 8 : y + 8, x - 8 : x + 8] = np.hypot(right, down) / scale / 2000
    mean, patches = vector_lengths(vectors(rows), Size(1280, 720))
    assert mean == pytest.approx(float(painted.mean()), rel=1e-3 if offset else 1e-5)
    np.testing.assert_allclose(patches, cv2.resize(painted, None, fx=1 / 256, fy=1 / 256), rtol=1e-5)


@pytest.mark.parametrize("size", [(1920, 1080), (264, 273), (257, 256)])
def test_vector_lengths_clamp_blocks_beyond_the_edges(size: tuple[int, int]) -> None:
    """As a painter does it, block by block: pixels outside fall on the nearest edge."""
    width, height = size
    random = np.random.default_rng(width)
    corners = [(x, y) for y in range(-24, height + 24, 8) for x in range(-24, width + 24, 16)]
    random.shuffle(corners)
    painted, rows = np.zeros((height, width), np.float32), []
    for left, top in corners[:4000]:
        wide, high = ((8, 8), (16, 16), (16, 8), (8, 16))[random.integers(4)]
        right, down = random.integers(-9, 9, 2).tolist()
        rows.append((wide, high, left + wide // 2, top + high // 2, right, down, 4))
        ys, xs = np.clip(top + np.arange(high), 0, height - 1), np.clip(left + np.arange(wide), 0, width - 1)
        painted[np.ix_(ys, xs)] = np.hypot(right, down) / 4 / (height + width)
    mean, patches = vector_lengths(vectors(rows), Size(width, height))
    assert mean == pytest.approx(float(painted.mean(dtype=np.float64)), rel=1e-6)
    np.testing.assert_allclose(patches, cv2.resize(painted, None, fx=1 / 256, fy=1 / 256)[: len(patches)], rtol=1e-5)


def record(recorder: Recorder, path: Path, *, export_vectors: bool = False) -> Samples:
    """What a recorder measures of a video."""
    with open_video(str(path)) as container:
        scaler = FrameScaler()
        for decoded in decode_frames(container, export_vectors=export_vectors):
            recorder.push(scaler(decoded))
    return recorder.samples()


def test_vector_recorder_takes_two_samples_a_second(tmp_path: Path) -> None:
    pictures = noise_shot(1, 50, width=256, height=256, speed=4)
    path = write_video(tmp_path / "a.mp4", pictures, options={"g": "12", "bf": "0"})
    samples = record(VectorRecorder(Fraction(25)), path, export_vectors=True)
    assert VectorRecorder.reduce(samples, 0, 50)["vectors_mean"] == pytest.approx(4 / 512, rel=0.3)
    assert VectorRecorder.reduce(samples, 0, 0)["vectors_mean"] is None


def test_vector_recorder_measures_nothing_on_small_pictures(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 5, speed=4))
    assert len(record(VectorRecorder(Fraction(25)), path, export_vectors=True)) == 0


def num_frames_alive() -> int:
    return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())


def test_vector_recorder_lets_go_of_frames_without_the_garbage_collector(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 40, width=256, height=256, speed=4), options={"bf": "0"})
    recorder, scaler, alive = VectorRecorder(Fraction(2)), FrameScaler(), 0
    gc.collect()
    before = num_frames_alive()  # of other tests
    gc.disable()
    try:
        with open_video(str(path)) as container:
            for decoded in decode_frames(container, export_vectors=True):
                recorder.push(scaler(decoded))
        alive = num_frames_alive() - before
    finally:
        gc.enable()
    assert alive < 10
