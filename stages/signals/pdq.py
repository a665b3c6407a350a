"""PDQ, the perceptual hash of pictures that Facebook published: 256 bits, most of which a copy shares.

A picture of 64 x 64 values is transformed by DCT. Of the coefficients 1 to 16 in each direction, those above their
median are 1. The quality says how much there is to see: hashes of flat pictures are noise.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 64
BITS_PER_SIDE = 16
HASH_BYTES = 32
MEDIAN_RANK = BITS_PER_SIDE * BITS_PER_SIDE // 2 - 1
"""Of the 256 coefficients in rising order, so that 128 lie above."""

_HUNDREDTHS = (np.arange(256) * 100 // 255).astype(np.uint8)
"""Levels as hundredths of full range."""

Luma = NDArray[np.uint8] | NDArray[np.float32]


def pdq_hash(luma: Luma) -> tuple[NDArray[np.uint8], int]:
    """The hash of one picture, uint8 ``[32]`` in the order of its usual hexadecimal form, and its quality, 0 to 100.

    Args:
        luma: ``[H, W]``, 0 to 255, of any size from 5 x 5 on.

    Raises:
        ValueError: the picture is smaller.
    """
    if min(luma.shape) < 5:
        raise ValueError(f"A picture must have at least 5 x 5 pixels, got {luma.shape[1]} x {luma.shape[0]}.")
    small = reduced(luma) if luma.shape != (SIDE_PX, SIDE_PX) else luma
    return hash_bits(dct(small[None].astype(np.float32)))[0], quality_of(small)


def dct(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients 1 to 16 down and across, float32 ``[N, 16, 16]``, of pictures ``[N, 64, 64]``."""
    matrix = dct_matrix()
    return np.asarray(matrix @ pictures @ matrix.T, np.float32)


def hash_bits(coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Hashes, uint8 ``[N, 32]``, of coefficients ``[N, 16, 16]``."""
    flat = coefficients.reshape(len(coefficients), -1)
    median = np.partition(flat, MEDIAN_RANK, axis=1)[:, MEDIAN_RANK : MEDIAN_RANK + 1]
    # In the order of the hexadecimal form, the last coefficient comes first.
    return np.ascontiguousarray(np.packbits(flat > median, axis=1, bitorder="little")[:, ::-1])


def quality_of(picture: Luma) -> int:
    """Quality, 0 to 100, of a picture ``[64, 64]``: steps between neighbouring pixels, from 2.55 levels on."""
    total = 0
    for ahead, behind in ((picture[1:], picture[:-1]), (picture[:, 1:], picture[:, :-1])):
        steps: NDArray[Any] = np.asarray(cv2.absdiff(ahead, behind))
        if steps.dtype == np.uint8:
            total += int(cv2.sumElems(cv2.LUT(steps, _HUNDREDTHS))[0])
        else:
            total += int((steps * np.float32(100 / 255)).astype(np.int32).sum())
    return min(total // 90, 100)


def qualities_of(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`quality_of` each of pictures ``[N, 64, 64]``, uint8 ``[N]``."""
    count = len(pictures)
    down, across = pictures.reshape(count, -1), pictures.reshape(-1, SIDE_PX)
    total = np.zeros(count, np.int64)
    for ahead, behind in ((down[:, SIDE_PX:], down[:, :-SIDE_PX]), (across[:, 1:], across[:, :-1])):
        steps = np.asarray(cv2.LUT(cv2.absdiff(ahead, behind), _HUNDREDTHS)).reshape(count, -1)
        total += cv2.reduce(steps, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    return np.minimum(total // 90, 100).astype(np.uint8)


def reduced(luma: Luma) -> NDArray[np.float32]:
    """The picture as 64 x 64 values: two passes of a box filter along each axis, then every so many-th pixel."""
    values = luma.astype(np.float64)
    for _ in range(2):
        values = _box(_box(values, 1), 0)
    rows, columns = (np.floor((np.arange(SIDE_PX) + 0.5) * side / SIDE_PX).astype(int) for side in luma.shape)
    return values[np.ix_(rows, columns)].astype(np.float32)


def _box(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean over a window of about a 128th of the axis; less of it is left at the ends."""
    length = values.shape[axis]
    window = -(-length // (2 * SIDE_PX))
    after = (window + 2) // 2  # from the pixel on; the others lie before it
    sums = np.cumsum(np.insert(values, 0, 0, axis=axis), axis=axis)
    place = np.arange(length)
    end, start = np.minimum(place + after, length), np.maximum(place + after - window, 0)
    counts = (end - start).reshape((-1, 1) if axis == 0 else (1, -1))
    return (sums.take(end, axis) - sums.take(start, axis)) / counts


@lru_cache(maxsize=1)
def dct_matrix() -> NDArray[np.float32]:
    """Float32 ``[16, 64]``."""
    order, place = np.arange(1, BITS_PER_SIDE + 1)[:, None], np.arange(SIDE_PX)[None]
    values = np.sqrt(2 / SIDE_PX) * np.cos(np.pi / (2 * SIDE_PX) * order * (2 * place + 1))
    return values.astype(np.float32)
