"""The interface of embedders, the identity of a model, and the pooling of frame features into one vector."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.errors import ParamsError, StageError
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
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

    A user's own class may declare a ``version``; where it does not, a hash of its source enters the row keys.
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
