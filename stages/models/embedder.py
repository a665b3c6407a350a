"""The interface of embedders, the identity of a model, and the pooling of frame features into one vector."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError, StageError
from stages.models.device_batches import DeviceBatches
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
from stages.storage import digest
from stages.tasks import Frames


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Name and weights of a model; both are stored in each row and enter its key.

    Attributes:
        model: name and pooling.
        weights_hash: hash of the weights, or a commit that identifies them; empty where they are unknown.
    """

    model: str
    weights_hash: str

    def as_dict(self) -> dict[str, Any]:
        """The identity as a dict, for `Phase.identity`."""
        return asdict(self)


def check_same_model(expected: ModelIdentity, found: ModelIdentity, worker_id: str) -> None:
    """Check that a worker holds the model that the row keys were made with.

    Raises:
        ParamsError: the worker holds another model or other weights.
    """
    if found != expected:
        raise ParamsError(
            f"Every machine must hold the same weights of {expected.model}: the driver has {expected}, "
            f"worker {worker_id} has {found}."
        )


class Embedder(Protocol):
    """Computes one vector per clip. The driver constructs it too, so models must be loaded in `setup`.

    It may have an attribute ``dtype``, the precision that it computes in, for the rows; a method ``close``, called in
    the worker at the end; and ``waits_for_server = True``, by which several threads call `embed` at once. In place of a
    vector it may return a `Failed` for a clip. A user's own class may declare a ``version``; where it does not, a hash
    of its source enters the row keys.
    """

    def __init__(self, params: EmbedParams) -> None: ...

    def identity(self) -> ModelIdentity:
        """The model and the hash of its weights, without loading them.

        Raises:
            ParamsError: the model does not exist.
        """
        ...

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model, in the worker, on the worker's device."""
        ...

    def embed(self, clips: Sequence[Frames]) -> NDArray[np.float32]:
        """One vector per clip: float32 ``[N, D]``, unit length.

        A clip's vector must not depend on the other clips of the call: after a restart a batch holds others.
        """
        ...


PICTURES_ON_CPU, PICTURES_ON_GPU = 8, 512
"""Pictures of one call of a model where ``embed.batch_size`` is 0: on a CPU, where larger calls are slower; and at most
on a GPU."""
MIN_PICTURES_ON_CPU, MIN_PICTURES_ON_GPU = 64, 512
"""Pictures at least that a worker is given at once, for several calls, so that handing them over takes little of it: 10
ms of CPU."""


class BatchedEmbedder(ABC):
    """Computes one vector per clip from units: pictures, or windows of pictures.

    Units are prepared on CPUs, by other workers than encode them, as bytes of the model's input size. A call of
    `encode` may hold units of several clips and videos; it makes floats of the bytes on the device.

    A subclass is constructed in the driver and in both kinds of workers. A user's own class may declare a ``version``;
    where it does not, a hash of its source enters the row keys.

    Attributes:
        params: of the phase.
        dtype: after `setup`, the precision that the model computes in, for the rows; None where it is not told.
    """

    dtype: str | None = None

    def __init__(self, params: EmbedParams) -> None:
        self.params = params
        self._batches: DeviceBatches | None = None

    @property
    def frames_per_clip(self) -> int:
        """Pictures of a clip that `prepare` gets, at most, spread evenly over the clip."""
        return self.params.frames_per_clip

    @property
    def units_per_clip(self) -> int:
        """Units that `prepare` makes of a clip, at most."""
        return self.frames_per_clip

    @property
    def pictures_per_unit(self) -> int:
        """Pictures of one unit."""
        return 1

    @abstractmethod
    def identity(self) -> ModelIdentity:
        """See `Embedder.identity`."""

    def pinned_params(self) -> EmbedParams:
        """The parameters with which workers construct it: a name that may move is replaced by what it stands for."""
        return self.params

    def fetch(self) -> None:  # noqa: B027 - weights in packages need not be fetched
        """Bring the weights to this machine. Called once for each node, before `setup` and `setup_loader`."""

    def setup_loader(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - optional
        """Load what `prepare` needs, in a worker that prepares."""

    @abstractmethod
    def prepare(self, frames: Frames) -> NDArray[np.uint8]:
        """The units of one clip, uint8 ``[K, ...]``, at least one; all of one shape."""

    @abstractmethod
    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model, in a worker that encodes, on the worker's device."""

    @abstractmethod
    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per unit, float32 ``[B, D]``, of units ``[B, ...]``, in one call of the model.

        The array is used again for the next call: what is kept must be a copy.
        """

    def pool(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """One vector ``[D]``, unit length, of those of a clip's units ``[K, D]``."""
        return mean_pool(vectors)

    def release_memory(self) -> None:
        """Give cached memory of the device back."""
        lazy.load("stages.models.torch_device:release")()

    @property
    def largest_batch(self) -> int:
        """Units of one call of `encode`, at most."""
        pictures = PICTURES_ON_GPU if self.params.requires_gpu else PICTURES_ON_CPU
        return self.params.batch_size or max(1, pictures // self.pictures_per_unit)

    @property
    def clips_at_once(self) -> int:
        """Clips that a worker that encodes is given at once."""
        pictures = MIN_PICTURES_ON_GPU if self.params.requires_gpu else MIN_PICTURES_ON_CPU
        return math.ceil(max(self.largest_batch, pictures // self.pictures_per_unit) / self.units_per_clip)

    def encode_all(self, clips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """One vector per unit of some clips, one after another, in calls of `encode` as large as memory takes.

        Units of all clips have one shape.
        """
        if self._batches is None:
            largest = self.largest_batch
            first = self.params.batch_size or min(largest, PICTURES_ON_CPU)
            self._batches = DeviceBatches(self.encode, first=first, largest=largest, release=self.release_memory)
        return self._batches.run(clips)

    def embed(self, clips: Sequence[Frames]) -> NDArray[np.float32]:
        """As `Embedder.embed`: all steps in one worker, after both setups."""
        units = [self.prepare(frames) for frames in clips]
        return np.stack([self.pool(self.encode_all([each])) for each in units])


def encoding_key(params: EmbedParams, identity: Mapping[str, Any], pictures: int) -> str:
    """Hash of all that a clip's vector depends on beside the clip: equal where two phases would make the same one.

    Args:
        params: of the embedder.
        identity: of its model and code.
        pictures: that are taken of the clip, at most, spread evenly.
    """
    made_by = {"embedder": params.embedder, "dtype": params.dtype, "args": params.args, **identity}
    return digest(json.dumps(made_by, sort_keys=True, default=str), str(pictures))


def mean_pool(features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Mean of frame features ``[N, D]``, scaled to unit length: float32 ``[D]``.

    Raises:
        StageError: the mean is all zero or not finite.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if not 0 < length < float("inf"):
        raise StageError(f"Features of a clip must be finite and not all zero, got a mean of length {length}.")
    return (mean / length).astype(np.float32)
