"""The cells that a picture's motion is averaged over, and how a camera moves them."""

import functools
import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

CELL_PX = 8
BORDER_SHARE = 0.14
INNER_WEIGHT = 0.6
"""Weight of a cell that is not within `BORDER_SHARE` of an edge: subjects stand in the middle."""


class Grid(NamedTuple):
    """The cells of a picture of one size, and how a camera moves them.

    Attributes:
        centres: ``[2, N]``, x and y of each cell, in pixels from the picture's centre.
        half_size: ``[2, 1]``, half of the picture's width and height, in pixels.
        diagonals_per_px: ``[2, 1]``, along x and y.
        design: ``[2N, 4]``, motion in diagonals of x and then of y of each cell, for a camera model of 1: right, down,
            growth and turn.
        prior: ``[N]``, weight of each cell.
        pixels: float32 ``[H, W, 2]``, x and y of each pixel.
        px: one pixel of the measured picture, in diagonals.
    """

    centres: Floats
    half_size: Floats
    diagonals_per_px: Floats
    design: Floats
    prior: Floats
    pixels: NDArray[np.float32]
    px: float

    def means(self, values: NDArray[Any]) -> Floats:
        """Means over the cells, ``[N]``."""
        height, width = values.shape
        rows, columns = height // CELL_PX, width // CELL_PX
        top, left = (height - rows * CELL_PX) // 2, (width - columns * CELL_PX) // 2
        inner = values[top : top + rows * CELL_PX, left : left + columns * CELL_PX]
        return cv2.resize(inner, (columns, rows), interpolation=cv2.INTER_AREA).ravel().astype(np.float64)

    def affine(self, model: Floats) -> Floats:
        """``[2, 3]``: where a camera model takes a pixel from the second picture."""
        right, down, growth, turn = model
        (across,), (along,) = self.diagonals_per_px
        linear = np.array([[1 + 4 * growth, 4 * turn * along / across], [-4 * turn * across / along, 1 + 4 * growth]])
        centre = self.half_size[:, 0] - 0.5
        offset = centre + np.array([right / across, down / along]) - linear @ centre
        return np.column_stack([linear, offset])


@functools.lru_cache(maxsize=16)
def grid_of(height: int, width: int, pixel_aspect: float) -> Grid:
    """The cells of a picture; `pixel_aspect` is the width of its pixels over the height, as displayed."""
    ys, xs = (CELL_PX * (np.arange(side // CELL_PX) - (side // CELL_PX - 1) / 2) for side in (height, width))
    centres = np.stack([part.ravel() for part in np.meshgrid(xs, ys)])
    half_size = np.array([[width / 2], [height / 2]])
    diagonals_per_px = np.array([[pixel_aspect], [1.0]]) / math.hypot(width * pixel_aspect, height)
    x, y = centres * diagonals_per_px * 4
    one, zero = np.ones_like(x), np.zeros_like(x)
    design = np.concatenate([np.stack([one, zero, x, y], axis=1), np.stack([zero, one, y, -x], axis=1)])
    is_border = (np.abs(centres) > half_size * (1 - 2 * BORDER_SHARE)).any(axis=0)
    prior = np.where(is_border, 1.0, INNER_WEIGHT)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)
    return Grid(centres, half_size, diagonals_per_px, design, prior, pixels, 1 / math.hypot(width, height))
