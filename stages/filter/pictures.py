"""Filters that look at a clip's pictures: black, frozen, letterbox, sharpness, exposure.

All work on luma, uint8 ``[N, H, W]`` of full range, with numpy alone, so that this module is light to import.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.errors import StageError
from stages.filter.base import Filter, Limit
from stages.tasks import Clip

Luma = NDArray[np.uint8]

BLACK_LUMA = 25
"""A pixel up to this is black: a tenth of full range, as in FFmpeg's blackdetect."""
BLACK_SHARE = 0.98
"""A picture with at least this share of black pixels is black."""
FROZEN_BLOCK_PX = 16
FROZEN_CHANGE = 2.5
"""Grey levels; two pictures are equal where no block's mean change is larger. JPEG noise stays below."""
BAR_LUMA = 25
BAR_RANGE = 12
"""Grey levels that a line of a bar may vary by, over its pixels and all pictures of the clip."""
CONTENT_SHARE = 0.5
"""Share of the edge of a bar along which something must be seen; else it is a dark sky, not a bar."""
CRUSHED_LUMA = 4
BLOWN_LUMA = 251


class Content(NamedTuple):
    """The part of a picture inside its bars, half-open."""

    top: int
    bottom: int
    left: int
    right: int


def luma_of(clip: Clip) -> Luma:
    """Luma (BT.601 weights) of the clip's pictures, uint8 ``[N, H, W]``.

    Raises:
        StageError: the clip carries no pictures.
    """
    if clip.frames is None or not len(clip.frames):
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    images = clip.frames.images
    total = images[..., 0] * np.uint16(77)  # 16 bit in place: 4 ms for 20 pictures of 448 px, float32 takes 16
    total += images[..., 1] * np.uint16(150)
    total += images[..., 2] * np.uint16(29)
    return (total >> 8).astype(np.uint8)


def black_pictures(luma: Luma) -> NDArray[np.bool_]:
    """Which pictures are black, bool ``[N]``."""
    return (luma <= BLACK_LUMA).mean(axis=(1, 2)) >= BLACK_SHARE


def largest_changes(luma: Luma) -> NDArray[np.float64]:
    """For each picture but the first, how much its most changed block of 16 x 16 pixels changed, in grey levels."""
    _, height, width = luma.shape
    rows = np.arange(0, max(1, height - height % FROZEN_BLOCK_PX), FROZEN_BLOCK_PX)
    columns = np.arange(0, max(1, width - width % FROZEN_BLOCK_PX), FROZEN_BLOCK_PX)
    changes = np.zeros(len(luma) - 1)
    for index in range(1, len(luma)):
        change = np.abs(luma[index].astype(np.int16) - luma[index - 1])
        sums = np.add.reduceat(np.add.reduceat(change, rows, axis=0, dtype=np.int64), columns, axis=1)
        areas = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
        changes[index - 1] = (sums / areas).max()
    return changes


def content_of(luma: Luma) -> Content:
    """Where the pictures lie inside black bars that all of them share; black pictures are left out."""
    seen = luma[~black_pictures(luma)]
    _, height, width = luma.shape
    if not len(seen):
        return Content(0, height, 0, width)
    low, high = seen.min(axis=0), seen.max(axis=0)
    top, below = _bar(low, high), _bar(low[::-1], high[::-1])
    low, high = low[top : height - below].T, high[top : height - below].T
    left, right = _bar(low, high), _bar(low[::-1], high[::-1])
    return Content(top, height - below, left, width - right)


def _bar(low: Luma, high: Luma) -> int:
    """Lines of the bar at the upper edge, given the least and greatest luma of each pixel over time.

    line 0   black, flat   the bar
    line 1   black, flat
    line 2   seen along half of its width, else the lines above were no bar
    """
    dark = (high.max(axis=1) <= BAR_LUMA) & (high.max(axis=1) - low.min(axis=1) <= BAR_RANGE)
    lines = len(dark) if dark.all() else int(np.argmin(dark))
    # Scaling and JPEG smear the edge, so what lies behind it is looked for in the next few lines.
    behind = high[lines : lines + max(4, len(dark) // 32)]
    if not lines or not len(behind):
        return 0
    return lines if (behind.max(axis=0) > BAR_LUMA).mean() >= CONTENT_SHARE else 0


@dataclass(frozen=True)
class BlackFilter(Filter):
    """Share of black pictures. Lower is stricter."""

    black_max: float

    name = "black"
    limits = (Limit("black", "black_max", "max"),)
    needs_frames = True

    def score(self, clip: Clip) -> float:
        """Black pictures over pictures, 0 to 1."""
        return float(black_pictures(luma_of(clip)).mean())


@dataclass(frozen=True)
class FrozenFilter(Filter):
    """Share of pictures equal to the one before. Lower is stricter."""

    frozen_max: float

    name = "frozen"
    limits = (Limit("frozen", "frozen_max", "max"),)
    needs_frames = True

    def score(self, clip: Clip) -> float | None:
        """Equal neighbours over neighbours, 0 to 1; None for a single picture."""
        changes = largest_changes(luma_of(clip))
        return float((changes <= FROZEN_CHANGE).mean()) if len(changes) else None


@dataclass(frozen=True)
class LetterboxFilter(Filter):
    """Share of the picture taken by black bars. Lower is stricter."""

    letterbox_max: float

    name = "letterbox"
    limits = (Limit("letterbox", "letterbox_max", "max"),)
    needs_frames = True

    def score(self, clip: Clip) -> float:
        """Area of the bars over area, 0 to 1."""
        luma = luma_of(clip)
        content = content_of(luma)
        inside = (content.bottom - content.top) * (content.right - content.left)
        return 1.0 - inside / (luma.shape[1] * luma.shape[2])


@dataclass(frozen=True)
class SharpnessFilter(Filter):
    """Variance of the Laplacian, at the size of the frame store. Higher is stricter."""

    sharpness_min: float

    name = "sharpness"
    limits = (Limit("sharpness", "sharpness_min", "min"),)
    needs_frames = True

    def score(self, clip: Clip) -> float | None:
        """Mean over the sharper half of the pictures, inside the bars; None below 3 x 3 pixels."""
        luma = luma_of(clip)
        content = content_of(luma)
        inside = luma[:, content.top : content.bottom, content.left : content.right].astype(np.int16)
        if min(inside.shape[1:]) < 3:
            return None
        laplacian = (
            inside[:, :-2, 1:-1]
            + inside[:, 2:, 1:-1]
            + inside[:, 1:-1, :-2]
            + inside[:, 1:-1, 2:]
            - 4 * inside[:, 1:-1, 1:-1]
        )
        variances = np.sort(laplacian.var(axis=(1, 2)))
        return float(variances[len(variances) // 2 :].mean())


@dataclass(frozen=True)
class ExposureFilter(Filter):
    """Share of pixels crushed to black or blown to white, inside the bars. Lower is stricter."""

    exposure_max: float

    name = "exposure"
    limits = (Limit("exposure", "exposure_max", "max"),)
    needs_frames = True

    def score(self, clip: Clip) -> float:
        """Lost pixels over pixels, 0 to 1."""
        luma = luma_of(clip)
        content = content_of(luma)
        inside = luma[:, content.top : content.bottom, content.left : content.right]
        return float(((inside <= CRUSHED_LUMA) | (inside >= BLOWN_LUMA)).mean())
