"""Which of several copies is the best: `dedup.keep=quality`.

In order of weight: damage, true resolution, noise, bytes for a pixel, bit depth, age. What differs by less than
its tolerance counts as equal, so that the next one decides. Sharpness tells whether detail is that of the picture.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

QUALITY_COLUMNS = (
    "damaged_share",
    "detail",
    "sharpness",
    "median_frequency",
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
NOISE_TOLERANCE = 1.25
BYTES_TOLERANCE = 1.35
"""Factors within which pixels, noise and bytes are equal; the share of frames within which damage is."""
NOISE_FLOOR = 1.0
"""Levels added to noise: what an encoder leaves of a still picture differs by less."""
DETAIL_OF_NOISE = (1.2, 1.6)
"""Detail from which on what changes may be noise, and from which on it is. Motion changes pictures as much as noise
does, and has no more fine detail than a true size; letters have it, and do not change."""
DETAIL_OF_TRUE_SIZE = 0.95
DETAIL_OF_NOTHING = 0.35
"""Detail of a picture whose size is true, or less, and of one enlarged very much; between them, sides go linearly."""
SHARPNESS_TOLERANCE = 1.2
"""Factor within which edges are equally sharp; blur and smaller sizes leave less."""
KEYFRAME_INTERVAL_S = 10.0
"""Seconds that a usual encoder goes on without a keyframe. Most bytes of a still video are in keyframes, so that a
shorter one would have more of them a second."""
CODEC_EFFICIENCY = {"hevc": 1.6, "vp9": 1.5, "av1": 2.0, "mpeg4": 0.6, "mpeg2video": 0.4, "mpeg1video": 0.3}
"""Bytes of H.264 that a byte is worth, about."""


def quality_values(clips: pa.Table) -> NDArray[np.float64]:
    """What quality is told by, float64 ``[N, 8]``.

    Damage, pixels, share of sides held, noise, bytes for a pixel, bit depth, sharpness, and median frequency of slopes.

    Pixels are without those of bars. The share held is below 1 where fine detail is missing as in enlarged and blurred
    pictures. The bytes are those of the source for a pixel, bars and all, and a second, of at least
    `KEYFRAME_INTERVAL_S`. The frequency is in cycles for the side of a square of these pixels.
    NaN where pixels, bytes, sharpness or frequency are unknown.

    Args:
        clips: `QUALITY_COLUMNS`.
    """
    numbers = {name: _numbers(clips[name]) for name in QUALITY_COLUMNS if name not in ("average_rate", "codec")}
    pixels = numbers["width"] * numbers["height"]
    shown = pixels * np.nan_to_num(numbers["picture_share"], nan=1.0)
    low, high = DETAIL_OF_NOISE
    with np.errstate(divide="ignore", invalid="ignore"):
        held = (numbers["detail"] - DETAIL_OF_NOTHING) / (DETAIL_OF_TRUE_SIZE - DETAIL_OF_NOTHING)
        held = np.nan_to_num(np.clip(held, 0.2, 1.0), nan=1.0)
        seconds = numbers["video_frames"] / _of_each(clips["average_rate"], lambda rate: float(Fraction(rate or 25)))
        worth = _of_each(clips["codec"], lambda codec: CODEC_EFFICIENCY.get(codec or "", 1.0))
        density = numbers["size_bytes"] * worth / (np.maximum(seconds, KEYFRAME_INTERVAL_S) * pixels)
    is_noise = np.nan_to_num(np.clip((numbers["detail"] - low) / (high - low), 0.0, 1.0), nan=1.0)
    columns = [
        np.nan_to_num(numbers["damaged_share"]),
        shown,
        held,
        np.nan_to_num(numbers["noise"]) * is_noise + NOISE_FLOOR,
        np.where(np.isfinite(density), density, np.nan),
        np.nan_to_num(numbers["bit_depth"], nan=8.0),
        numbers["sharpness"],
        numbers["median_frequency"] * np.sqrt(shown),
    ]
    return np.column_stack(columns) if len(clips) else np.empty((0, len(columns)))


def quality_keys(values: NDArray[np.float64], groups: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Keys to order the clips of each group by, in order of weight; lower is better.

    A value counts in steps of its tolerance from the best one of those clips that all keys before it take for equal.

    Args:
        values: of `quality_values`; without columns all are equal.
        groups: int64 ``[N]``, number of each row's group.
    """
    if not values.size:
        return []
    damage, pixels, _, noise, density, depth, _, _ = values.T
    held = np.minimum(pixels * _held(values, groups) ** 2, _pixels_before_enlarging(values, groups))
    keys: list[NDArray[np.float64]] = []
    equals = groups
    for column, steps_of in (
        (damage, _differences),
        (-held, _factors_of(PIXELS_TOLERANCE)),
        (noise, _factors_of(NOISE_TOLERANCE)),
        (-density, _factors_of(BYTES_TOLERANCE)),
        (-depth, np.subtract),
    ):
        keys.append(steps_of(column, _best_of_each(column, equals)))
        equals = _numbered(equals, keys[-1])
    return keys


def _held(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of its sides that each picture holds, ``[N]``: detail that is of coding or of noise counts for nothing.

    A picture that is out of focus holds less than its own copies seem to: blocks are fine detail, and noise is. So of
    each group that one of those with little noise is looked at that has most bytes for a pixel. Another one that is not
    much smaller, whose edges are no sharper, and which has fewer bytes or more noise, holds no more than it.
    """
    _, pixels, held, noise, density, _, sharpness, _ = values.T
    quiet = noise < NOISE_TOLERANCE * _best_of_each(noise, groups)
    order = np.lexsort((-np.where(quiet, density * pixels, -np.inf), groups))  # NaN comes last
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))
    first = np.empty(len(order), np.int64)
    first[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    is_worse = (density * BYTES_TOLERANCE < density[first]) | (noise > NOISE_TOLERANCE * noise[first])
    is_alike = (sharpness <= SHARPNESS_TOLERANCE * sharpness[first]) & (PIXELS_TOLERANCE * pixels >= pixels[first])
    return np.where(is_worse & is_alike, np.minimum(held, held[first]), held)


def _pixels_before_enlarging(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels that each picture has beyond doubt, ``[N]``: next to a smaller one, as many as frequencies differ by.

    An enlarged picture has more pixels than the one that it was made of, fewer bytes for each, and no higher
    frequencies. A smaller copy without more bytes for a pixel tells nothing: its frequencies may be those of blocks.
    What one picture of a size has beyond doubt, all of this size are given: noise has high frequencies, and is told by
    the key after this one.
    """
    pixels = values[:, 1]
    found = pixels.copy()
    order = np.lexsort((pixels, groups))
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        known = pixels[members]
        if known[-1] <= PIXELS_TOLERANCE * known[0]:
            continue
        shares = np.array([_share_beyond_doubt(clip, members, values) for clip in members.tolist()])
        first = np.searchsorted(known, known / PIXELS_TOLERANCE, "left")
        last = np.searchsorted(known, known * PIXELS_TOLERANCE, "right")
        near = [shares[begin:end].max() for begin, end in zip(first.tolist(), last.tolist(), strict=True)]
        found[members] = known * np.array(near)
    return found


def _share_beyond_doubt(clip: int, members: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Of a clip's pixels, next to the smaller ones of its group."""
    pixels, density, frequency = values[:, 1], values[:, 4], values[:, 7]
    is_smaller = pixels[members] * PIXELS_TOLERANCE < pixels[clip]
    smaller = members[is_smaller & (density[members] >= BYTES_TOLERANCE * density[clip])]
    more = np.nan_to_num(frequency[clip] / frequency[smaller], nan=np.inf)
    return min(1.0, float((pixels[smaller] * np.maximum(more, 1) ** 2).min(initial=np.inf) / pixels[clip]))


def _differences(values: NDArray[np.float64], best: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.floor((values - best) / DAMAGE_TOLERANCE + 1e-9)


def _factors_of(tolerance: float) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    """How many times the best values times the tolerance fit; infinite where unknown, which is worst."""

    def steps(values: NDArray[np.float64], best: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.floor(np.abs(np.log(best / values)) / np.log(tolerance) + 1e-9)
        return np.where(np.isfinite(found), found, np.inf)

    return steps


def _best_of_each(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The least value of each row's group; NaN where all are."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))
    best = np.empty(len(values))
    best[order] = np.repeat(np.fmin.reduceat(values[order], starts), np.diff(np.append(starts, len(order))))
    return best


def _numbered(groups: NDArray[np.int64], steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of each row's group and step among all that there are."""
    order = np.lexsort((steps, groups))
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (groups[order][1:] != groups[order][:-1]) | (steps[order][1:] != steps[order][:-1])
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(is_new)
    return numbers


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy().copy()


def _of_each(column: pa.ChunkedArray, value_of: Callable[[str | None], float]) -> NDArray[np.float64]:
    """A number for each text."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    values = np.array([value_of(text) for text in encoded.dictionary.to_pylist()], np.float64)
    return values[encoded.indices.to_numpy()] if len(values) else np.empty(0)
