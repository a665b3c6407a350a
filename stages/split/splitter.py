"""The interface of splitters, which divide a video into clips. Users implement it for their own splitters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.params import SplitParams
from stages.split.spans import Piece, Timeline, keyframe_boundaries
from stages.stage import WorkerMetadata
from stages.tasks import Size


class Splitter(ABC):
    """Divides videos into pieces, one after another: `begin`, `push` while the video is decoded, `pieces` at its end.

    `measured` and `restore` are optional: where they are defined, cutting by other parameters decodes nothing.

    Its module must be light to import, since the driver calls `identity`; models are loaded in `setup`, in the worker.

    Attributes:
        picture_size: size of the pushed pictures, which are upright; None if the splitter needs no pictures.
        version: of a user's own splitter: raise it whenever the same video would get other clips. Where it is None, a
            hash of the source takes its place.
    """

    version: ClassVar[str | int | None] = None
    picture_size: Size | None = None

    def __init__(self, params: SplitParams) -> None:
        self.params = params

    def identity(self) -> dict[str, Any]:
        """Inputs of the result other than parameters: a model and the hash of its weights. Enters the row key."""
        return {}

    def setup(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - optional
        """Load models, in the worker."""

    def begin(self) -> None:  # noqa: B027 - optional
        """Start a new video: reset the state of the previous one."""

    def begin_video(self, frame_rate: Fraction | None) -> None:
        """Start a new video, whose average frames a second are known or None; calls `begin`."""
        self.begin()

    def push(self, pictures: NDArray[np.uint8]) -> None:  # noqa: B027 - optional
        """Add the next frames, uint8 ``[N, H, W, 3]``, RGB. Called from one thread, which is not the decoder's."""

    def measured(self) -> Mapping[str, NDArray[Any]] | None:
        """What `pieces` takes from the pushed pictures: by column, one value a frame. Called after the last push.

        It is stored, so that a video is cut anew, by other parameters, without being decoded: `restore` takes it back.
        None, the default, has the video decoded each time.
        """
        return None

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Take what `measured` gave of a video, in place of `begin` and its pictures."""
        raise NotImplementedError(f"{type(self).__name__} must define restore, since it defines measured.")

    def measure_identity(self) -> dict[str, Any]:
        """What `measured` depends on beside the pictures."""
        return self.identity()

    @abstractmethod
    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The pieces of the pushed video that become clips, in order."""

    def boundaries(self, timeline: Timeline) -> Sequence[int]:
        """Boundaries where clips may begin and end: all, or only keyframes with ``split.snap_to_keyframes``."""
        return keyframe_boundaries(timeline) if self.params.snap_to_keyframes else range(len(timeline) + 1)
