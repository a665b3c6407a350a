"""Which of several copies is the best: `dedup.keep=quality`.

In order of weight: damage, true resolution, bytes for a pixel, bit depth, age. What differs by less than its tolerance
counts as equal, so that the next one decides: a sharpness measured 5 % apart tells nothing, twice the bytes do.
"""

from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

QUALITY_COLUMNS = (
    "damaged_share",
    "detail",
    "picture_share",
    "width",
    "height",
    "size_bytes",
    "video_frames",
    "average_rate",
    "codec",
    "bit_depth",
)
"""Of ``filtered_clips``, what the quality is told by."""
DAMAGE_TOLERANCE = 0.01
RESOLUTION_TOLERANCE = 1.3
BYTES_TOLERANCE = 1.1
"""Factors within which resolutions and bytes are equal; the share of frames within which damage is."""
EDGE_SHARPEST = 0.25
"""Widths of an edge in a pixel from which on a picture shows all that its size can hold."""
CODEC_EFFICIENCY = {"hevc": 1.6, "vp9": 1.5, "av1": 2.0, "mpeg4": 0.6, "mpeg2video": 0.4, "mpeg1video": 0.3}
"""Bytes of H.264 that a byte is worth, about."""


def quality_values(clips: pa.Table) -> NDArray[np.float64]:
    """Float64 ``[N, 4]``: damage, resolution, bytes for a pixel and bit depth of each clip; NaN where unknown.

    The resolution is in pixels, without those of bars and those that an enlarged or blurred picture has in excess. The
    bytes are those of the source for a pixel and a second.

    Args:
        clips: `QUALITY_COLUMNS`.
    """
    values = np.full((len(clips), 4), np.nan)
    for number, row in enumerate(clips.select(QUALITY_COLUMNS).to_pylist()):
        pixels = float(row["width"] or 0) * float(row["height"] or 0)
        shown = pixels * (row["picture_share"] or 1.0)
        shorter = float(min(row["width"] or 0, row["height"] or 0))
        if pixels:
            held = 1.0 if row["detail"] is None else min(1.0, row["detail"] / (EDGE_SHARPEST * shorter))
            values[number, 1] = shown * held**2
            seconds = (row["video_frames"] or 0) / float(Fraction(row["average_rate"] or 25))
            if seconds and row["size_bytes"]:
                values[number, 2] = row["size_bytes"] * CODEC_EFFICIENCY.get(row["codec"], 1.0) / (seconds * shown)
        values[number, 0] = row["damaged_share"] or 0.0
        values[number, 3] = row["bit_depth"] or 8
    return values


def order_by_quality(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of clips, best first; of equal ones the earlier first.

    Args:
        values: of `quality_values`.
    """
    left = list(range(len(values)))
    ordered: list[int] = []
    while left:
        best = _best(values, left)
        ordered.append(best)
        left.remove(best)
    return np.array(ordered, np.int64)


def _best(values: NDArray[np.float64], candidates: list[int]) -> int:
    damage = values[candidates, 0]
    left = [each for each, share in zip(candidates, damage, strict=True) if share <= damage.min() + DAMAGE_TOLERANCE]
    for column, tolerance in ((1, RESOLUTION_TOLERANCE**2), (2, BYTES_TOLERANCE), (3, 1.0)):
        known = np.nan_to_num(values[left, column], nan=0.0)
        left = [each for each, value in zip(left, known, strict=True) if value * tolerance >= known.max()]
    return left[0]
