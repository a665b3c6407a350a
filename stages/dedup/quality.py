"""Which of several copies is the best: `dedup.keep=quality`.

In order of weight: damage, true resolution, grain, noise, bytes for a pixel, bit depth, age. What differs by less than
its tolerance counts as equal, so that the next one decides.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

QUALITY_COLUMNS = (
    "damaged_share",
    "detail",
    "picture_share",
    "noise",
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
PIXELS_TOLERANCE = 1.44
GRAIN_TOLERANCE = 1.6
NOISE_TOLERANCE = 1.45
BYTES_TOLERANCE = 1.1
"""Factors within which pixels, grain, noise and bytes are equal; the share of frames within which damage is."""
NOISE_FLOOR = 1.0
"""Levels added to noise: what an encoder leaves of a still picture differs by less."""
NOISE_MAX = 1.2
"""Levels from which on motion all over the picture hides noise; then grain, fine detail that is too strong, tells."""
DETAIL_OF_TRUE_SIZE = 0.95
DETAIL_OF_NOTHING = 0.35
"""Detail of a picture whose size is true, or less, and of one enlarged very much; between them, sides go linearly."""
KEYFRAME_INTERVAL_S = 10.0
"""Seconds that a usual encoder goes on without a keyframe. Most bytes of a still video are in keyframes, so that a
shorter one would have more of them a second."""
CODEC_EFFICIENCY = {"hevc": 1.6, "vp9": 1.5, "av1": 2.0, "mpeg4": 0.6, "mpeg2video": 0.4, "mpeg1video": 0.3}
"""Bytes of H.264 that a byte is worth, about."""


def quality_values(clips: pa.Table) -> NDArray[np.float64]:
    """Float64 ``[N, 6]``: damage, pixels, grain, noise, bytes for a pixel and bit depth; negated where more is better.

    Pixels are without those of bars, and those that an enlarged or blurred picture has in excess. The bytes are those
    of the source for a pixel and a second, of at least `KEYFRAME_INTERVAL_S`. NaN where it is unknown.

    Args:
        clips: `QUALITY_COLUMNS`.
    """
    numbers = {name: _numbers(clips[name]) for name in QUALITY_COLUMNS if name not in ("average_rate", "codec")}
    shown = numbers["width"] * numbers["height"] * np.nan_to_num(numbers["picture_share"], nan=1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        held = (numbers["detail"] - DETAIL_OF_NOTHING) / (DETAIL_OF_TRUE_SIZE - DETAIL_OF_NOTHING)
        held = np.nan_to_num(np.clip(held, 0.2, 1.0), nan=1.0)
        seconds = numbers["video_frames"] / _of_each(clips["average_rate"], lambda rate: float(Fraction(rate or 25)))
        worth = _of_each(clips["codec"], lambda codec: CODEC_EFFICIENCY.get(codec or "", 1.0))
        density = numbers["size_bytes"] * worth / (np.maximum(seconds, KEYFRAME_INTERVAL_S) * shown)
    noise, detail = np.nan_to_num(numbers["noise"]), np.nan_to_num(numbers["detail"])
    columns = [
        np.nan_to_num(numbers["damaged_share"]),
        -shown * held**2,
        np.where(noise < NOISE_MAX, DETAIL_OF_TRUE_SIZE, np.maximum(detail, DETAIL_OF_TRUE_SIZE)),
        np.where(noise < NOISE_MAX, noise, 0.0) + NOISE_FLOOR,
        -np.where(np.isfinite(density), density, np.nan),
        -np.nan_to_num(numbers["bit_depth"], nan=8.0),
    ]
    return np.column_stack(columns) if len(clips) else np.empty((0, len(columns)))


def quality_keys(values: NDArray[np.float64], groups: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Keys to order the clips of each group by, in order of weight; lower is better.

    A value counts in steps of its tolerance from the best one of the group.

    Args:
        values: of `quality_values`, rows of one group next to each other; without columns all are equal.
        groups: int64 ``[N]``, number of each row's group.
    """
    if not values.size:
        return []
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    sizes = np.diff(np.append(starts, len(groups)))
    damage, pixels, grain, noise, density, depth = values.T
    least = np.repeat(np.minimum.reduceat(damage, starts), sizes)
    keys = [np.floor((damage - least) / DAMAGE_TOLERANCE + 1e-9)]
    tolerances = (
        (pixels, PIXELS_TOLERANCE),
        (grain, GRAIN_TOLERANCE),
        (noise, NOISE_TOLERANCE),
        (density, BYTES_TOLERANCE),
    )
    for column, tolerance in tolerances:
        best = np.repeat(np.fmin.reduceat(column, starts), sizes)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.floor(np.abs(np.log(best / column)) / np.log(tolerance) + 1e-9)
        keys.append(np.where(np.isfinite(steps), steps, np.inf))  # unknown is worst
    return [*keys, depth]


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy().copy()


def _of_each(column: pa.ChunkedArray, value_of: Callable[[str | None], float]) -> NDArray[np.float64]:
    """A number for each text."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    values = np.array([value_of(text) for text in encoded.dictionary.to_pylist()], np.float64)
    return values[encoded.indices.to_numpy()] if len(values) else np.empty(0)
