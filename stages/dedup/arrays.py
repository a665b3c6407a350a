"""Arrays with one element per clip: the input of a step of dedup, and its decisions."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Positions = NDArray[np.int64]
"""Positions of clips in the arrays of `Clips`."""
Vectors = NDArray[np.float32]
"""Float32 ``[N, D]``, unit length."""
DECIMALS = 9
"""Decimals of similarities and distances. Rounding makes equal ones equal whatever the order of summation was."""
UNDECIDED = -1
NO_GROUP = -2
"""What `Decisions.group` holds of a clip that is removed, but not for the sake of another."""


class VectorSource(Protocol):
    """Vectors of all clips, of which rows are taken by position; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, D)``."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, positions: Any, /) -> Vectors: ...


def normalized(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The vectors in float64, divided by their length, which is then 1 to the last digit. Zero vectors stay zero."""
    wide = vectors.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)


@dataclass(frozen=True)
class Clips:
    """Clips, oldest first: in the order of registration of their partitions, then by id.

    Attributes:
        ids: clip ids, each once.
        vectors: float32 ``[N, D]``, unit length, C order.
        ranking: float64 ``[N, R]``, one column per name of `rank_by`; lower is better, NaN where the clip has no value.
        rows: the columns of embeddings and filtered_clips that the steps ask for, one row per clip.
    """

    ids: list[str]
    vectors: VectorSource
    ranking: NDArray[np.float64]
    rows: pa.Table = field(default_factory=lambda: pa.table({}))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: Positions) -> "Clips":
        """The clips at these positions, in ascending order."""
        if len(positions) == len(self):
            return self
        return Clips(
            [self.ids[position] for position in positions.tolist()],
            self.vectors[positions],
            self.ranking[positions],
            self.rows.take(pa.array(positions)) if self.rows.num_columns else self.rows,
        )


@dataclass(frozen=True)
class Decisions:
    """The decision of one step for each clip.

    Attributes:
        group: int64 ``[N]``, position of the kept clip of its group, its own where it is kept; `UNDECIDED`, or
            `NO_GROUP` where it is removed and belongs to no group.
        nearest: int64 ``[N]``, position of the most similar clip among those that it was compared with; -1 for none.
        similarity: float64 ``[N]``, similarity to `nearest`; NaN for none.
    """

    group: Positions
    nearest: Positions
    similarity: NDArray[np.float64]

    @classmethod
    def undecided(cls, count: int) -> "Decisions":
        """Decisions of `count` clips, none of which is decided."""
        return cls(np.full(count, UNDECIDED, np.int64), np.full(count, -1, np.int64), np.full(count, np.nan))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: the clip is kept."""
        return self.group == np.arange(len(self.group))

    @property
    def is_undecided(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: the clip is neither kept nor removed."""
        return self.group == UNDECIDED

    def among(self, members: Positions) -> "Decisions":
        """The decisions for these clips alone; one that hangs on another clip is none, nor is that one the nearest."""
        count = len(self.group)
        return self if len(members) == count else self.take(members).placed(members, count)

    def take(self, positions: Positions) -> "Decisions":
        """The decisions for the clips at these positions, in ascending order, as positions among these.

        A decision that hangs on a clip that is not among them is none; so is the nearest clip that is not.
        """
        if len(positions) == len(self.group):
            return self
        place = np.full(len(self.group) + 2, -1, np.int64)  # the last two are NO_GROUP and UNDECIDED
        place[positions] = np.arange(len(positions))
        place[NO_GROUP] = NO_GROUP
        nearest = place[self.nearest[positions]]
        similarity = np.where(nearest >= 0, self.similarity[positions], np.nan)
        return Decisions(place[self.group[positions]], nearest, similarity)

    def placed(self, positions: Positions, count: int) -> "Decisions":
        """The inverse of `take`: these decisions at their positions among `count` clips; the others are undecided."""
        if len(positions) == count:
            return self
        whole = Decisions.undecided(count)
        for name in ("group", "nearest"):
            values = getattr(self, name)
            getattr(whole, name)[positions] = np.where(values >= 0, positions[np.maximum(values, 0)], values)
        whole.similarity[positions] = self.similarity
        return whole
