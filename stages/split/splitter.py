"""What turns one pass over a video into clips: the interface of all splitters, your own included."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.params import SplitParams
from stages.split.spans import Piece, Timeline, keyframe_boundaries
from stages.stage import WorkerMetadata
from stages.tasks import Size


class Splitter(ABC):
    """Cuts videos, one after another: `begin`, `push` while the video is decoded, `pieces` at its end.

    Its module must be light to import, since the driver asks for `identity`; models load in `setup`, in the worker.

    Attributes:
        picture_size: every frame is scaled to this size, upright, and pushed; None where it needs no pictures.
    """

    picture_size: ClassVar[Size | None] = None

    def __init__(self, params: SplitParams) -> None:
        self.params = params

    def identity(self) -> dict[str, Any]:
        """What beside parameters decides the result: a model and the hash of its weights."""
        return {}

    def setup(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - optional
        """Load models, in the worker."""

    def begin(self) -> None:  # noqa: B027 - optional
        """Forget the video before."""

    def push(self, pictures: NDArray[np.uint8]) -> None:  # noqa: B027 - optional
        """Take the next frames, uint8 ``[N, H, W, 3]``, RGB. Called from one thread, beside the decoder's."""

    @abstractmethod
    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The clips of the video that was pushed, in order."""

    def boundaries(self, timeline: Timeline) -> Sequence[int]:
        """Where clips may begin and end: at any frame, or only at keyframes where the parameters say so."""
        return keyframe_boundaries(timeline) if self.params.snap_to_keyframes else range(len(timeline) + 1)
