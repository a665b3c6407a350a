"""A splitter of one's own, outside the registry."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.split.spans import Piece, Shot, Timeline
from stages.split.splitter import Splitter
from stages.tasks import Size


class CountingSplitter(Splitter):
    """Counts the frames of a video and keeps none."""

    picture_size = Size(48, 27)
    num_frames = 0

    def begin(self) -> None:
        self.num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        self.num_frames += len(pictures)

    def pieces(self, timeline: Timeline) -> list[Piece]:
        return [Piece(0, self.num_frames, Shot(0, len(timeline)))]


class WatchingSplitter(CountingSplitter):
    """Notes the counter of decoded frames whenever it gets pictures."""

    seen: ClassVar[list[float]] = []

    def push(self, pictures: NDArray[np.uint8]) -> None:
        super().push(pictures)
        self.seen.append(heartbeat.counts()["decoded_frames"])
