"""The clips that dedup decides over, and what it decides, as arrays with one place a clip."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
"""Indices of clips in the order of `Clips`."""
Vectors = NDArray[np.float32]
"""Float32 ``[N, D]``, unit length."""
DIGITS = 9
"""Similarities and distances are rounded to so many places, so that equal ones stay equal however they were summed."""


def unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The same directions in float64, of a length that is 1 to the last digit; zeros stay zeros."""
    wide = vectors.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)


@dataclass(frozen=True)
class Clips:
    """All clips at once, oldest first: by registration of their partition, then by id.

    Attributes:
        ids: clip ids, each once.
        vectors: float32 ``[N, D]``, unit length, C order.
        ranking: float64 ``[N, R]``, a column each name of `rank_by`; lower is better, NaN where the clip has none.
    """

    ids: list[str]
    vectors: Vectors
    ranking: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Decisions:
    """What was decided, by place.

    Attributes:
        group: int64 ``[N]``, the kept clip of its group, itself where it is kept; -1 where nothing is decided.
        nearest: int64 ``[N]``, the clip that it was compared with; -1 for none.
        similarity: float64 ``[N]``, cosine to `nearest`; NaN for none.
    """

    group: Places
    nearest: Places
    similarity: NDArray[np.float64]

    @classmethod
    def none(cls, count: int) -> "Decisions":
        """Nothing decided for `count` clips."""
        return cls(np.full(count, -1, np.int64), np.full(count, -1, np.int64), np.full(count, np.nan))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: the clip stays."""
        return self.group == np.arange(len(self.group))

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: nothing is decided for the clip."""
        return self.group < 0
