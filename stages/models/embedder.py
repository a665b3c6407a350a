"""What an embedder is, and how the features of a clip's pictures become one vector."""

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
    """Which model, exactly; both stand in each row and enter its key.

    Attributes:
        model: name and pooling.
        weights_hash: of the weights, or what pins them.
    """

    model: str
    weights_hash: str

    def as_dict(self) -> dict[str, Any]:
        """For `Phase.identity`."""
        return asdict(self)


def require_same(expected: ModelIdentity, found: ModelIdentity, worker_id: str) -> None:
    """Nothing happens where a worker holds the model that the keys of the rows were made with.

    Raises:
        ParamsError: it holds another, or other weights.
    """
    if found != expected:
        raise ParamsError(
            f"Every machine must hold the same weights of {expected.model}: the driver has {expected}, "
            f"worker {worker_id} has {found}."
        )


class Embedder(Protocol):
    """Turns pictures into vectors. Built in the driver too, so it must be light until `setup`."""

    def __init__(self, params: EmbedParams) -> None: ...

    def identity(self) -> ModelIdentity:
        """The model and its weights, told without loading them.

        Raises:
            ParamsError: there is no such model.
        """
        ...

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model, in the worker, on the worker's device."""
        ...

    def embed(self, clips: Sequence[Frames]) -> NDArray[np.float32]:
        """One vector a clip: float32 ``[N, D]``, unit length.

        A clip's vector must not depend on the clips beside it, for after a restart these are others.
        """
        ...


def pooled(features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Mean of the pictures' features ``[N, D]``, scaled to unit length: float32 ``[D]``.

    Raises:
        StageError: the mean has no direction (all zero, or not finite).
    """
    mean = features.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if not 0 < length < float("inf"):
        raise StageError(f"Features of a clip must be finite and not all zero, got a mean of length {length}.")
    return (mean / length).astype(np.float32)
