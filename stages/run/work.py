"""The amount of work of items, from which progress and the remaining time are told."""

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from stages.phase import Phase
from stages.tasks import Row

MAX_UNFINISHED_SHARE = 0.99
"""Largest share of an item that counts as done before it is: headers may name too few frames."""


class Work(NamedTuple):
    """An amount of work: of an item, or of several.

    Attributes:
        cost: expected duration, in the unit of `Phase.cost`.
        video_s: seconds of video.
        frames: frames of that video.
    """

    cost: float = 0.0
    video_s: float = 0.0
    frames: float = 0.0

    @classmethod
    def sum(cls, amounts: Iterable[Self]) -> Self:
        """All amounts together."""
        return cls(*(math.fsum(column) for column in zip(cls(), *amounts, strict=True)))

    def times(self, factor: float) -> "Work":
        """A multiple, or a part, of the amount."""
        return Work(*(value * factor for value in self))


class ItemWork:
    """The work of the items to compute of one table. Holds three numbers an item.

    Args:
        phase: which knows what an item costs.
        items: those to compute, in order; they are counted from 0.

    Attributes:
        total: of all of them.
    """

    def __init__(self, phase: Phase[Any], items: Iterable[Row]) -> None:
        self._frame_counter, self._part_counter = phase.frame_counter, phase.part_counter
        self._columns = (array("d"), array("d"), array("d"))
        costs, seconds, frames = self._columns
        for item in items:
            costs.append(phase.cost(item))
            length = phase.video_length(item)
            seconds.append(length.seconds)
            frames.append(length.frames)
        self.total = Work(*map(sum, self._columns))
        self._done = [0.0, 0.0, 0.0]

    @property
    def done(self) -> Work:
        """Of the items computed so far."""
        return Work(*self._done)

    def of(self, index: int) -> Work:
        """The work of one item."""
        return Work(*(column[index] for column in self._columns))

    def finish(self, index: int) -> None:
        """Count an item as done."""
        for place, column in enumerate(self._columns):
            self._done[place] += column[index]

    def share_done(self, index: int, counters: Mapping[str, float]) -> float:
        """The share of an unfinished item that is done, by the frames that its stage has counted."""
        frames = self.of(index).frames
        counted = counters.get(self._part_counter, counters.get(self._frame_counter, 0.0))
        return max(0.0, min(MAX_UNFINISHED_SHARE, counted / frames)) if frames else 0.0
