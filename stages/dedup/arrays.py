"""Arrays with one element per clip: the input of dedup, and its decisions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
"""Positions of clips in the arrays of `Clips`."""
Vectors = NDArray[np.float32]
"""Float32 ``[N, D]``, unit length."""
DECIMALS = 9
"""Decimals of similarities and distances. Rounding makes equal ones equal whatever the order of summation was."""


def normalized(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The vectors in float64, divided by their length, which is then 1 to the last digit. Zero vectors stay zero."""
    wide = vectors.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)


@dataclass(frozen=True)
class Clips:
    """All clips, oldest first: in the order of registration of their partitions, then by id.

    Attributes:
        ids: clip ids, each once.
        vectors: float32 ``[N, D]``, unit length, C order.
        ranking: float64 ``[N, R]``, one column per name of `rank_by`; lower is better, NaN where the clip has no value.
    """

    ids: list[str]
    vectors: Vectors
    ranking: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Decisions:
    """The decision for each clip.

    Attributes:
        group: int64 ``[N]``, position of the kept clip of its group, its own where it is kept; -1 if undecided.
        nearest: int64 ``[N]``, position of the most similar clip among those that it was compared with; -1 for none.
        similarity: float64 ``[N]``, cosine similarity to `nearest`; NaN for none.
    """

    group: Positions
    nearest: Positions
    similarity: NDArray[np.float64]

    @classmethod
    def undecided(cls, count: int) -> "Decisions":
        """Decisions of `count` clips, none of which is decided."""
        return cls(np.full(count, -1, np.int64), np.full(count, -1, np.int64), np.full(count, np.nan))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: the clip is kept."""
        return self.group == np.arange(len(self.group))

    @property
    def is_undecided(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: the clip is neither kept nor removed."""
        return self.group < 0
