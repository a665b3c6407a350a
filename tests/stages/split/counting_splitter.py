"""A splitter of one's own, outside the registry."""

import numpy as np
from numpy.typing import NDArray

from stages.split.spans import Piece, Shot, Timeline
from stages.split.splitter import Splitter
from stages.tasks import Size


class WatchingSplitter(Splitter):
    """Sees every frame and keeps none."""

    picture_size = Size(48, 27)
    frames = 0

    def begin(self) -> None:
        self.frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        self.frames += len(pictures)

    def pieces(self, timeline: Timeline) -> list[Piece]:
        return [Piece(0, self.frames, Shot(0, len(timeline)))]
