"""The interface of detectors, which find where shots change. Users implement it for their own networks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.params import SplitParams
from stages.split.spans import Timeline
from stages.split.transitions import Transition
from stages.stage import WorkerMetadata
from stages.tasks import Size


class TransitionDetector(ABC):
    """Finds transitions of videos, one after another: `begin`, `push` while one is decoded, `transitions` at its end.

    ``split.detector`` names it; clips are made of what lies between its transitions. `measured` and `restore` are
    optional: where they are defined, other parameters decode nothing.

    Its module must be light to import, since the driver calls `identity`; models are loaded in `setup`, in the worker.

    Attributes:
        picture_size: size of the pushed pictures, which are upright.
        version: raise it whenever the same video would get other transitions. Where it is None, a hash of the source
            takes its place.
    """

    version: ClassVar[str | int | None] = None
    picture_size: Size

    def __init__(self, params: SplitParams) -> None:
        self.params = params

    def identity(self) -> dict[str, Any]:
        """Inputs of the result other than parameters: a model and the hash of its weights. Enters the row key."""
        return {}

    def setup(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - optional
        """Load models, in the worker."""

    @abstractmethod
    def begin(self, frame_rate: Fraction | None) -> None:
        """Start a new video: reset the state of the previous one.

        Args:
            frame_rate: average frames a second; None where the container does not tell.
        """

    @abstractmethod
    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames, uint8 ``[N, H, W, 3]``, RGB. Called from one thread, which is not the decoder's."""

    def measured(self) -> Mapping[str, NDArray[Any]] | None:
        """What `transitions` takes from the pushed pictures: by column, one value a frame. Called after the last push.

        It is stored, so that other parameters decode nothing: `restore` takes it back. None, the default, has the video
        decoded each time.
        """
        return None

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Take what `measured` gave of a video, in place of `begin` and its pictures."""
        raise NotImplementedError(f"{type(self).__name__} must define restore, since it defines measured.")

    def measure_identity(self) -> dict[str, Any]:
        """What `measured` depends on beside the pictures."""
        return self.identity()

    @abstractmethod
    def transitions(self, timeline: Timeline) -> Sequence[Transition]:
        """The transitions of the pushed video, in order, none overlapping another."""
