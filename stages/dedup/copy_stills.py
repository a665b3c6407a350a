"""Whether two still pictures are the same one, or two slides of one layout.

What is the same differs by coding, blur and light, evenly; another slide differs where its words stand. So pictures are
brought to one frame, and compared block by block:

    a block counts        if it has corners in both, as letters have; bars and lines are alike on all slides of a layout
    it is the same        if what it shows is alike beside its mean
    it is in one alone    if the other one has nothing there: a mark, or words that are only there
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_turns import turned
from stages.dedup.copy_views import window_hashes
from stages.dedup.copy_windows import WHOLE, Placement, Window

Picture = NDArray[np.float32]
"""Luma, ``[S, S]``."""
Matrix = NDArray[np.float64]
"""From pixels of the seen picture to those of the whole one, ``[2, 3]``."""

BLOCK_PX = 8
ROUNDS_MAX = 12
STEP_MAX_PX = 2.0
CLOSE_PX = 0.02
"""Rounds of the alignment: at most so many, each by at most so much; it ends with steps below."""
SMOOTHING_PX = 1.0
CORNERS_MIN = 0.1
ONE_SIDED_MIN = 0.15
ONE_SIDED_MAX = 0.05
"""Strength of corners, in contrasts a pixel: of a block that counts; of one that counts for one picture, where the
other has less than the last."""
SAME_MIN = 0.6
"""Correlation of a block that is the same."""
HASHED_PX = 24
"""Sides of the picture that is hashed."""
BACKGROUND_PX = 6.0
"""Standard deviation of the smoothing that light and shade are taken off by."""


class StillMatch(NamedTuple):
    """How two still pictures agree.

    Attributes:
        same_share: share of the blocks that count which are the same.
        likeness: mean correlation of blocks, weighed by corners; lower where corners are stronger in one.
        num_blocks: that have corners in both.
        bits: in which the hashes of both pictures differ, once they are in one frame.
    """

    same_share: float
    likeness: float
    num_blocks: int
    bits: int


def match_stills(left: Picture, right: Picture, placements: Iterable[Placement]) -> StillMatch:
    """Compare two pictures.

    Args:
        left: a still picture.
        right: another one, of the same size.
        placements: under which they may show the same, about; the one under which they do best counts.
    """
    side = left.shape[0]
    best: tuple[float, Picture, Picture] | None = None
    for placed in dict.fromkeys(placements):
        seen, other = seen_in(left, window_matrix(placed.left, side)), turned(right, placed.turn)
        matrix, likeness = aligned(seen, other, window_matrix(placed.right, side))
        if best is None or likeness > best[0]:
            best = likeness, seen, seen_in(other, matrix)
    if best is None:
        raise ValueError("match_stills requires at least one placement, got none.")
    return match_in_frame(best[1], best[2])


def match_in_frame(left: Picture, right: Picture, counted: NDArray[np.bool_] | None = None) -> StillMatch:
    """Of two pictures in one frame, how their blocks agree; of all, or of those that are counted."""
    fine = [_without_light(each) for each in (left, right)]
    corners = [_corners(each) for each in fine]
    blocks = [blocks_of(each) for each in fine]
    centred = [each - each.mean(axis=1, keepdims=True) for each in blocks]
    lengths = [np.linalg.norm(each, axis=1) for each in centred]
    alike = (centred[0] * centred[1]).sum(axis=1) / np.maximum(lengths[0] * lengths[1], 1e-6)
    weaker, stronger = np.minimum(*corners), np.maximum(*corners)
    if counted is not None:
        weaker, stronger, alike = weaker[counted], stronger[counted], alike[counted]
    in_both = weaker > CORNERS_MIN
    in_one = (stronger > ONE_SIDED_MIN) & (weaker < ONE_SIDED_MAX)
    same = in_both & (alike > SAME_MIN)
    return StillMatch(
        float(same.sum() / max(int((in_both | in_one).sum()), 1)),
        float((weaker * alike).sum() / max(float(stronger.sum()), 1e-6)),
        int(in_both.sum()),
        int(np.unpackbits(_hash(left) ^ _hash(right)).sum()),
    )


def _hash(picture: Picture) -> NDArray[np.uint8]:
    small = cv2.resize(picture, (HASHED_PX, HASHED_PX), interpolation=cv2.INTER_AREA)
    return window_hashes(np.asarray(small, np.float32)[None], (WHOLE,))[0, 0]


def window_matrix(window: Window, side: int) -> Matrix:
    """Of what is seen through a window."""
    wide, high = window.right - window.left, window.bottom - window.top
    return np.array(
        [
            [wide, 0, window.left * side + 0.5 * wide - 0.5],
            [0, high, window.top * side + 0.5 * high - 0.5],
        ]
    )


def seen_in(picture: Picture, matrix: Matrix) -> Picture:
    """The picture at the places that a matrix says; its border goes on beyond it."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def aligned(fixed: Picture, picture: Picture, matrix: Matrix) -> tuple[Matrix, float]:
    """The matrix near the given one, moved and scaled, under which the picture is most like the fixed one; how like.

    Gauss-Newton, with a gain and an offset of luma.
    """
    wanted = np.asarray(cv2.GaussianBlur(fixed, (0, 0), SMOOTHING_PX), np.float32).ravel()
    smooth = np.asarray(cv2.GaussianBlur(picture, (0, 0), SMOOTHING_PX), np.float32)
    across, down = (np.asarray(each, np.float32) for each in _gradients(smooth))
    x, y = _places(len(fixed))
    best, best_likeness = matrix, -np.inf
    for _ in range(ROUNDS_MAX):
        seen = seen_in(smooth, matrix).ravel()
        likeness = _correlation(seen, wanted)
        if likeness > best_likeness:
            best, best_likeness = matrix, likeness
        slopes = [seen_in(each, matrix).ravel() for each in (across, down)]
        terms = np.column_stack([slopes[0], slopes[0] * x, slopes[1], slopes[1] * y, seen, np.ones_like(seen)])
        squares = (terms.T @ terms).astype(np.float64) + 1e-3 * np.eye(6)
        solved = np.linalg.solve(squares, (terms.T @ wanted).astype(np.float64))
        steps = np.clip(solved[:4] / max(abs(solved[4]), 0.2), -STEP_MAX_PX, STEP_MAX_PX)
        if np.abs(steps).max() < CLOSE_PX:
            break
        change = [[steps[1], 0, steps[0] * len(fixed)], [0, steps[3], steps[2] * len(fixed)]]
        matrix = matrix + np.array(change) / len(fixed)
        matrix[:, 2] -= 0.5 * steps[[1, 3]]
    return best, best_likeness


@lru_cache(maxsize=2)
def _places(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Columns and rows of all pixels as shares of the side, 0 in the middle."""
    line = ((np.arange(side) - side / 2) / side).astype(np.float32)
    rows, columns = np.meshgrid(line, line, indexing="ij")
    return columns.ravel(), rows.ravel()


def _correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    left, right = left - left.mean(), right - right.mean()
    return float(left @ right / max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-6))


def _without_light(picture: Picture) -> Picture:
    """What is finer than light and shade, in contrasts."""
    fine = picture - cv2.GaussianBlur(picture, (0, 0), BACKGROUND_PX)
    return np.asarray(fine / max(float(fine.std()), 1e-3), np.float32)


def _gradients(picture: Picture) -> tuple[cv2.typing.MatLike, cv2.typing.MatLike]:
    return cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8)


def _corners(picture: Picture) -> NDArray[np.float32]:
    """Of each block, how much it changes in the direction in which it changes least."""
    across, down = _gradients(np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.7), np.float32))
    xx, yy, xy = (
        blocks_of(np.asarray(each, np.float32)).mean(axis=1) for each in (across * across, down * down, across * down)
    )
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.asarray(np.sqrt(np.maximum(least, 0)), np.float32)


def blocks_of(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """All blocks of a picture, float32 ``[N, BLOCK_PX ** 2]``."""
    count = len(picture) // BLOCK_PX
    cut = picture[: count * BLOCK_PX, : count * BLOCK_PX].reshape(count, BLOCK_PX, count, BLOCK_PX)
    return cut.swapaxes(1, 2).reshape(count * count, -1)
