"""Pieces of one shot that follow one another: they look alike, and yet show different moments.

They are no near-duplicates of each other, however similar the network finds them, unless their pictures stand still.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.arrays import Positions

PIECE_COLUMNS = ("video_id", "shot_start_pts", "start_s", "motion_class")
"""Of ``filtered_clips``, what tells them."""
REACH_S = 30.0
"""Starts of such pieces lie less than this apart. A longer shot repeats itself, or is a whole video."""
COMPARED = -1


@dataclass(frozen=True)
class ShotPieces:
    """The shot of each clip, and where in it the clip begins.

    Attributes:
        shot: int32 ``[N]``, number of the shot; `COMPARED` for clips that are compared with all others.
        start_s: float64 ``[N]``.
    """

    shot: NDArray[np.int32]
    start_s: NDArray[np.float64]

    def mask(self, values: NDArray[np.floating], left: Positions, right: Positions) -> None:
        """Set the similarities ``[L, R]`` of clips at these positions to -inf where they are pieces of one shot."""
        rows = np.flatnonzero(np.isin(self.shot[left], self.shot[right]) & (self.shot[left] != COMPARED))
        if not len(rows):
            return
        columns = np.flatnonzero(np.isin(self.shot[right], self.shot[left[rows]]))
        a, b = left[rows][:, None], right[columns][None]
        is_piece = (self.shot[a] == self.shot[b]) & (np.abs(self.start_s[a] - self.start_s[b]) < REACH_S) & (a != b)
        found = np.nonzero(is_piece)
        values[rows[found[0]], columns[found[1]]] = -np.inf


def shot_pieces(rows: pa.Table) -> ShotPieces | None:
    """The pieces among clips; None where no two are of one shot.

    Args:
        rows: `PIECE_COLUMNS` of all clips; nothing is told where one is missing.
    """
    if not len(rows) or not set(PIECE_COLUMNS) <= set(rows.column_names):
        return None
    video, start = (rows[name].combine_chunks().dictionary_encode() for name in ("video_id", "shot_start_pts"))
    starts = start.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    videos = video.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    _, number, counts = np.unique(
        videos * (len(start.dictionary) + 1) + starts, return_inverse=True, return_counts=True
    )
    start_s = rows["start_s"].cast(pa.float64()).to_numpy()
    stands_still = np.array(rows["motion_class"].to_pylist(), object) == "still"
    is_piece = (counts[number] > 1) & (starts >= 0) & np.isfinite(start_s) & ~stands_still
    return ShotPieces(np.where(is_piece, number, COMPARED).astype(np.int32), start_s) if is_piece.any() else None
