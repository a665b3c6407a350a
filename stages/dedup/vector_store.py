"""The vectors of all clips, in files that are mapped into memory: what is not looked at is not read."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.arrays import Vectors
from stages.errors import StageError

CHECKED_ROWS = 4096
"""Vectors that have one checksum."""


class DamagedSegment(StageError):
    """A file of vectors is not what was written.

    Attributes:
        name: of the segment.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"Segment {name} of the index of vectors is damaged. Run dedup again: it is made again.")
        self.name = name


def checksum(rows: Vectors) -> int:
    """Of at most `CHECKED_ROWS` vectors that follow one another in a segment."""
    return zlib.crc32(np.ascontiguousarray(rows).data)


@dataclass
class Segment:
    """Vectors of some embeddings.

    Attributes:
        name: hash of what it holds.
        keys: row keys of the embeddings, each once.
        vectors: float32 ``[N, D]``, unit length, mapped from a file.
        checksums: of each `CHECKED_ROWS` vectors.
    """

    name: str
    keys: pa.Array
    vectors: Vectors
    checksums: Sequence[int]
    _checked: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._checked = np.zeros(len(self.checksums), bool)

    def take(self, rows: NDArray[np.integer[Any]]) -> Vectors:
        """Some of the vectors. The first time that a part of the file is read, its checksum is compared.

        Raises:
            DamagedSegment: it differs.
        """
        blocks = np.unique(rows // CHECKED_ROWS)
        for block in blocks[~self._checked[blocks]].tolist():
            part = self.vectors[block * CHECKED_ROWS : (block + 1) * CHECKED_ROWS]
            if checksum(part) != self.checksums[block]:
                raise DamagedSegment(self.name)
            self._checked[block] = True
        return self.vectors[rows]


class VectorStore:
    """Vectors of all clips, taken from segments.

    Args:
        segments: which hold them.
        segment: int16 ``[N]``, index of the segment of each clip.
        row: int32 ``[N]``, its row there.
    """

    def __init__(self, segments: Sequence[Segment], segment: NDArray[np.int16], row: NDArray[np.int32]) -> None:
        self.segments = list(segments)
        self.segment = segment
        self.row = row

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, D)``."""
        return (len(self.row), self.segments[0].vectors.shape[1] if self.segments else 0)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, positions: Any, /) -> Vectors:
        segment, row = self.segment[positions], self.row[positions]
        taken = np.empty((len(row), self.shape[1]), np.float32)
        for index, each in enumerate(self.segments):
            here = np.flatnonzero(segment == index)
            if len(here):
                taken[here] = each.take(row[here])
        return taken
