"""What splitters and transition detectors share: both get the pictures of a video, and measure them."""

from abc import ABC
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.params import SplitParams
from stages.stage import WorkerMetadata


class PartRule(NamedTuple):
    """How a video's pictures may be measured in parts.

    A part begins where its first picture is a multiple of `grid`, and gets `reach` more pictures on both sides, as far
    as there are. What is measured of the part itself is then the same as of the whole video, bit for bit.

    Attributes:
        grid: frames.
        reach: frames, a multiple of `grid`.
    """

    grid: int
    reach: int


class VideoAnalyser(ABC):  # noqa: B024 - its interfaces have the abstract methods
    """Gets the pictures of one video after another, while each is decoded.

    `measured` and `restore` are optional: where they are defined, other parameters decode nothing.

    Its module must be light to import, since the driver calls `identity`; models are loaded in `setup`, in the worker.

    Attributes:
        version: raise it whenever the same video would get another result. Where it is None, a hash of the source takes
            its place.
        dtype: after `setup`, the precision that its model computes in, for the rows; None where it is not told.
    """

    version: ClassVar[str | int | None] = None
    dtype: str | None = None

    def __init__(self, params: SplitParams) -> None:
        self.params = params

    def identity(self) -> dict[str, Any]:
        """Inputs of the result other than parameters: a model and the hash of its weights. Enters the row key."""
        return {}

    def setup(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - optional
        """Load models, in the worker."""

    def push(self, pictures: NDArray[np.uint8]) -> None:  # noqa: B027 - optional
        """Add the next frames, uint8 ``[N, H, W, 3]``, RGB. Called from one thread, which is not the decoder's."""

    def measured(self) -> Mapping[str, NDArray[Any]] | None:
        """What the result takes from the pushed pictures: by column, one value a frame. Called after the last push.

        It is stored, so that other parameters decode nothing: `restore` takes it back. None, the default, has the video
        decoded each time.
        """
        return None

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Take what `measured` gave of a video, in place of its pictures."""
        raise NotImplementedError(f"{type(self).__name__} must define restore, since it defines measured.")

    def part_rule(self, frame_rate: Fraction | None) -> PartRule | None:
        """How `measured` may be made of parts of a video; None, the default, where it needs all pictures in a row.

        Args:
            frame_rate: average frames a second; None where the container does not tell.
        """
        return None

    def measure_identity(self) -> dict[str, Any]:
        """What `measured` depends on beside the pictures."""
        return self.identity()
