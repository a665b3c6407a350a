"""Splitters of one's own that keep what they measure of pictures."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.split.analyser import PartRule
from stages.split.spans import Piece, Shot, Timeline
from stages.split.splitter import Splitter
from stages.tasks import Size

REACH = 20


class RowSplitter(Splitter):
    """Keeps the mean of each picture, and how many batches came before: it needs all pictures in a row."""

    picture_size = Size(48, 27)

    def begin(self) -> None:
        self.means: list[float] = []
        self.batches: list[int] = []

    def push(self, pictures: NDArray[np.uint8]) -> None:
        self.means += pictures.mean(axis=(1, 2, 3)).tolist()
        self.batches += [self.batches[-1] + 1 if self.batches else 0] * len(pictures)

    def measured(self) -> Mapping[str, NDArray[Any]]:
        return {"mean": np.array(self.means), "batch": np.array(self.batches)}

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        self.means = measured["mean"].tolist()

    def pieces(self, timeline: Timeline) -> list[Piece]:
        assert len(self.means) == len(timeline)
        return [Piece(0, len(timeline), Shot(0, len(timeline)))]


class PartSplitter(RowSplitter):
    """Keeps the sum of what is around each picture, up to `REACH` frames before and after."""

    def part_rule(self, frame_rate: Fraction | None) -> PartRule:
        return PartRule(10, REACH)

    def measured(self) -> Mapping[str, NDArray[Any]]:
        if not hasattr(self, "means"):
            return {}
        padded = np.pad(np.array(self.means), REACH)
        return {"around": np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH + 1).sum(axis=1)}

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        self.means = measured["around"].tolist()
