"""The frequency that halves the energy of a picture's slopes: how fine its pixels really are.

An edge has as much energy of slopes in each frequency, up to the highest that the picture was ever sampled with. In an
enlarged picture that lies below the highest that its pixels could show, however sharp its letters are: in cycles for
the whole side the frequency stays what it was before. In a picture made small it falls with the size.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 96
"""Largest side of the middle of a crop that is transformed."""
LINE_STEP = 2
"""One of so many lines is."""
LOWEST = 3
"""Frequency, in cycles for `SIDE_PX`, from which on energy counts: below are light, and the window."""
BINS = SIDE_PX // 2 + 1


def median_frequency(crops: Sequence[NDArray[np.unsignedinteger[Any]]]) -> float:
    """The median frequency of slopes along rows and columns, 0 to 0.5 cycles for a pixel; NaN of flat pictures.

    Args:
        crops: ``[H, W]`` each, of the picture's own pixels, at least 8 x 8.
    """
    energy = np.zeros(BINS, np.float64)
    for crop in crops:
        side = min(SIDE_PX, *crop.shape)
        middle = _middle(crop, side).astype(np.float32)
        for lines in (middle, middle.T):
            energy += _power(np.ascontiguousarray(lines[::LINE_STEP]))
    energy *= np.arange(BINS) ** 2.0
    energy[:LOWEST] = 0
    below = np.cumsum(energy)
    return float(np.interp(below[-1] / 2, below, np.arange(BINS))) / SIDE_PX if below[-1] > 0 else float("nan")


def _middle(crop: NDArray[Any], side: int) -> NDArray[Any]:
    top, left = ((length - side) // 2 for length in crop.shape)
    return crop[top : top + side, left : left + side]


def _power(lines: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power of lines ``[N, W]`` at `BINS` frequencies from 0 to 0.5."""
    width = lines.shape[1]
    lines = (lines - lines.mean(axis=1, keepdims=True)) * _window(width)
    spectrum = cv2.dft(lines, flags=cv2.DFT_ROWS | cv2.DFT_COMPLEX_OUTPUT)[:, : width // 2 + 1]
    power = np.square(spectrum).sum(axis=(0, 2), dtype=np.float64) / len(lines)
    if width == SIDE_PX:
        return power
    return np.interp(np.arange(BINS) / SIDE_PX, np.arange(len(power)) / width, power)


@lru_cache(maxsize=8)
def _window(width: int) -> NDArray[np.float32]:
    return np.hanning(width).astype(np.float32)
