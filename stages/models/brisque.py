"""BRISQUE, a measure of picture quality that needs no undistorted original. Light to import.

Mittal, Moorthy, Bovik: No-Reference Image Quality Assessment in the Spatial Domain, IEEE TIP 2012. The support vectors
are those of the PyPI package brisque 0.2.0 (Apache-2.0); its text and its pickle are stored as plain arrays in
``data/brisque.npz``. Nothing of the package is imported: it would bring scikit-image, libsvm and requests.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.models.weights import file_hash

WEIGHTS = Path(__file__).with_name("data") / "brisque.npz"


class Brisque:
    """Scores pictures by how far their statistics are from those of undistorted photographs."""

    def __init__(self) -> None:
        self._features = lazy.load("stages.models.brisque_features:features")
        with np.load(WEIGHTS, allow_pickle=False) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}

    @staticmethod
    def weights_hash() -> str:
        """Hash of the support vectors, as it enters keys."""
        return file_hash(WEIGHTS)

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Float64 ``[N]`` of RGB images, uint8 ``[N, H, W, 3]``: about 0 for undistorted, 100 for badly distorted.

        NaN for a picture that has no statistics: of one colour, or smaller than 16 pixels.
        """
        return np.array([self._score(image) for image in images])

    def _score(self, image: NDArray[np.uint8]) -> float:
        features = self._features(image)
        if features is None:
            return float("nan")
        lowest, highest = self._arrays["lowest"], self._arrays["highest"]
        scaled = 2 * (features - lowest) / (highest - lowest) - 1
        distances = ((self._arrays["support_vectors"] - scaled) ** 2).sum(axis=1)
        kernel = np.exp(-float(self._arrays["gamma"]) * distances)
        return float(self._arrays["coefficients"] @ kernel - self._arrays["rho"])
