"""BRISQUE against the PyPI package brisque 0.2.0, which made the numbers below of these pictures.

It does not run with NumPy 2.4 as it is: its ``scale_features`` was handed each feature as a number, not an array.
"""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.models import Brisque


def picture(noise: float, blur: float) -> NDArray[np.uint8]:
    """Waves with noise, 160 x 120, blurred; no area of it is flat."""
    rows, columns = np.mgrid[:120, :160]
    waves = 128 + 40 * np.sin(columns / 7) * np.cos(rows / 5) + 15 * np.sin((rows + columns) / 2)
    noisy = waves[..., np.newaxis] + np.random.default_rng(5).normal(0, noise, (120, 160, 3))
    blurred = cv2.GaussianBlur(noisy, (0, 0), blur) if blur else noisy
    return np.clip(blurred, 1, 254).astype(np.uint8)


PICTURES = {"slight noise": (4.0, 0.0), "noise": (25.0, 0.0), "blur": (8.0, 1.5)}
BY_THE_PACKAGE = {"slight noise": 154.99318, "noise": 63.60500, "blur": 75.37915}


@pytest.mark.parametrize("name", PICTURES)
def test_scores_are_those_of_the_package(name: str) -> None:
    (score,) = Brisque().scores(picture(*PICTURES[name])[np.newaxis])
    assert score == pytest.approx(BY_THE_PACKAGE[name], abs=0.001)


@pytest.mark.parametrize("shape", [(12, 40, 3), (64, 64, 3)])
def test_flat_and_tiny_pictures_have_no_score(shape: tuple[int, int, int]) -> None:
    assert np.isnan(Brisque().scores(np.full((1, *shape), 90, np.uint8))).all()
