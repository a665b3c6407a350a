"""Whether two pictures are the same one but for a banner over one of them.

A banner is a plate with words: it hides a rectangle, and the plate is darker or lighter than what it hides. Where words
stand on one slide and not on the next, the paper around them is the same; that is no banner.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_stills import (
    BLOCK_PX,
    Matrix,
    Picture,
    StillMatch,
    aligned,
    blocks_of,
    match_in_frame,
    seen_in,
    window_matrix,
)
from stages.dedup.copy_turns import turned
from stages.dedup.copy_windows import Placement
from stages.signals import STILL_PX

COVERED_LEVELS = 10.0
"""Mean difference of a block that is hidden in one picture."""
PLATE_LEVELS = 14.0
"""Difference of the middle levels of both pictures inside a banner, at least."""
AREA_MAX = 0.34
FILLED_MIN = 0.75
SPARED_MIN = 0.97
"""Shares of blocks: that a banner covers, at most; of those inside that are hidden, and of those outside that are not,
at least."""
NEXT_PX = 2.0
"""By so much the alignment may be wrong."""


def match_but_banner(left: Picture, right: Picture, placed: Placement) -> StillMatch | None:
    """How two pictures agree outside of a banner; None where there is none.

    Args:
        left: a still picture.
        right: another one, of the same size.
        placed: parts of both that no banner covers.
    """
    side = left.shape[0]
    window, other = window_matrix(placed.left, side), turned(right, placed.turn)
    matrix, _ = aligned(seen_in(left, window), other, window_matrix(placed.right, side))
    other, shown = _in_frame_of(left, other, placed, matrix)
    banner = _banner(left, other, shown)
    if banner is None:
        return None
    top, bottom, first, last = (place * BLOCK_PX for place in banner)
    other[top:bottom, first:last] = left[top:bottom, first:last]
    top, bottom, first, last = (
        np.clip(place + step, 0, side // BLOCK_PX) for place, step in zip(banner, (-1, 1, -1, 1), strict=True)
    )
    is_apart = np.ones((side // BLOCK_PX, side // BLOCK_PX), np.bool_)
    is_apart[top:bottom, first:last] = False  # its edges lie in the blocks around it
    return match_in_frame(left, other, shown & is_apart.ravel())


def has_banner(left: Picture, right: Picture, placed: Placement) -> bool:
    """Whether a banner covers what two pictures do not show alike; they may be means of what moves.

    Args:
        left: a picture.
        right: another one, of the same size.
        placed: parts of both that show the same.
    """
    left, right = (np.asarray(cv2.resize(each, (STILL_PX, STILL_PX)), np.float32) for each in (left, right))
    matrix = window_matrix(placed.right, STILL_PX)
    return _banner(left, *_in_frame_of(left, turned(right, placed.turn), placed, matrix)) is not None


def _in_frame_of(left: Picture, right: Picture, placed: Placement, matrix: Matrix) -> tuple[Picture, NDArray[np.bool_]]:
    """The right picture in frame and light of the left one, and which blocks it shows.

    Args:
        left: the left picture.
        right: the right one, turned.
        placed: whose left part is that in which light is compared.
        matrix: from pixels of that part to those of the right picture.
    """
    side = left.shape[0]
    window = window_matrix(placed.left, side)
    whole = (np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(np.vstack([window, [0, 0, 1]])))[:2]
    is_shown = _is_shown(whole, side)
    is_spared = np.zeros_like(is_shown)
    top, bottom, first, last = (round(min(max(each, 0.0), 1.0) * side) for each in placed.left)
    is_spared[top:bottom, first:last] = True
    other = np.where(is_shown, _in_light_of(left, seen_in(right, whole), is_shown & is_spared), left)
    return other, blocks_of(is_shown.astype(np.float32)).min(axis=1) > 0


def _is_shown(matrix: Matrix, side: int) -> NDArray[np.bool_]:
    """Whether the place of each pixel lies in the picture, or next to it."""
    rows, columns = np.indices((side, side))
    across, down = (row[0] * columns + row[1] * rows + row[2] for row in matrix)
    low, high = -NEXT_PX, side - 1 + NEXT_PX
    return (across >= low) & (across <= high) & (down >= low) & (down <= high)


def _in_light_of(left: Picture, right: Picture, where: NDArray[np.bool_]) -> Picture:
    """The right picture with the gain and offset under which it is most like the left one, there."""
    gain, offset = np.polyfit(right[where].astype(np.float64), left[where].astype(np.float64), 1)
    return np.asarray(right * np.float32(gain) + np.float32(offset), np.float32)


def _banner(left: Picture, right: Picture, is_shown: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Top, bottom, first and last of the blocks that a banner covers, half open; None where there is none."""
    count = len(left) // BLOCK_PX
    is_hidden = (blocks_of(np.abs(left - right)).mean(axis=1) >= COVERED_LEVELS) & is_shown
    sums = cv2.integral(is_hidden.reshape(count, count).astype(np.float32))
    tops, bottoms, firsts, lasts = _rectangles(count)
    hidden = sums[bottoms, lasts] - sums[tops, lasts] - sums[bottoms, firsts] + sums[tops, firsts]
    area = (bottoms - tops) * (lasts - firsts)
    best = int(np.argmax(np.where(area <= AREA_MAX * count * count, 2 * hidden - area, -np.inf)))
    if hidden[best] < FILLED_MIN * area[best]:
        return None
    outside = float(is_hidden.sum() - hidden[best])
    if outside > (1 - SPARED_MIN) * max(float(is_shown.sum() - area[best]), 1.0):
        return None
    place = int(tops[best]), int(bottoms[best]), int(firsts[best]), int(lasts[best])
    rows, columns = slice(place[0] * BLOCK_PX, place[1] * BLOCK_PX), slice(place[2] * BLOCK_PX, place[3] * BLOCK_PX)
    levels = [float(np.median(each[rows, columns])) for each in (left, right)]
    return place if abs(levels[0] - levels[1]) >= PLATE_LEVELS else None


@lru_cache(maxsize=2)
def _rectangles(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Top, bottom, first and last of all rectangles of a grid of so many blocks a side."""
    low, high = np.triu_indices(count + 1, 1)
    down, across = np.divmod(np.arange(len(low) ** 2), len(low))
    return low[down], high[down], low[across], high[across]
