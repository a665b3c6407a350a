"""Filters whose scores are computed from a clip's sampled frames: black, frozen, letterbox, exposure.

All read luma, uint8 ``[N, H, W]`` of full range. The module imports numpy only, so that the driver can import it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.errors import StageError
from stages.filter.base import Filter, Limit
from stages.media import FRAME_KEY_COLUMNS, Luma, black_frames, detect_active_area
from stages.tasks import Clip

FROZEN_BLOCK_PX = 16
FROZEN_CHANGE = 2.5
"""In grey levels: two frames are equal where no block has a larger mean change. JPEG noise is smaller."""
CLIPPED_BLACK_LUMA = 4
CLIPPED_WHITE_LUMA = 251


def clip_luma(clip: Clip) -> Luma:
    """Luma of the clip's frames, uint8 ``[N, H, W]``; computed once, whichever filters ask for it.

    Raises:
        StageError: the clip carries no frames.
    """
    if clip.frames is None or not len(clip.frames):
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    return clip.frames.luma()


def largest_block_changes(luma: Luma) -> NDArray[np.float64]:
    """For each pair of consecutive frames, the largest mean change of a block of 16 x 16 pixels, in grey levels."""
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


@dataclass(frozen=True)
class BlackFilter(Filter):
    """Share of black frames. Lower is stricter."""

    black_max: float

    name = "black"
    limits = (Limit("black", "black_max", "max"),)
    needs_frames = True
    columns = FRAME_KEY_COLUMNS
    reductions: ClassVar[Mapping[str, str]] = {"black": "mean"}

    def score(self, clip: Clip) -> NDArray[np.float32]:
        """1.0 for a black frame, else 0.0; the mean is black frames over frames."""
        return black_frames(clip_luma(clip)).astype(np.float32)


@dataclass(frozen=True)
class FrozenFilter(Filter):
    """Share of frames equal to the previous one. Lower is stricter."""

    frozen_max: float

    name = "frozen"
    limits = (Limit("frozen", "frozen_max", "max"),)
    needs_frames = True
    columns = FRAME_KEY_COLUMNS
    reductions: ClassVar[Mapping[str, str]] = {"frozen": "mean"}

    def score(self, clip: Clip) -> NDArray[np.float32]:
        """1.0 for a frame equal to the one before, else 0.0, from the second frame on."""
        return (largest_block_changes(clip_luma(clip)) <= FROZEN_CHANGE).astype(np.float32)


@dataclass(frozen=True)
class LetterboxFilter(Filter):
    """Share of the frame covered by black bars. Lower is stricter."""

    letterbox_max: float

    name = "letterbox"
    limits = (Limit("letterbox", "letterbox_max", "max"),)
    needs_frames = True
    columns = FRAME_KEY_COLUMNS

    def score(self, clip: Clip) -> float:
        """Area of the bars over area of the frame, 0 to 1."""
        luma = clip_luma(clip)
        area = detect_active_area(luma)
        inside = (area.bottom - area.top) * (area.right - area.left)
        return 1.0 - inside / (luma.shape[1] * luma.shape[2])


@dataclass(frozen=True)
class ExposureFilter(Filter):
    """Share of pixels clipped to black or to white, inside the bars. Lower is stricter."""

    exposure_max: float

    name = "exposure"
    limits = (Limit("exposure", "exposure_max", "max"),)
    needs_frames = True
    columns = FRAME_KEY_COLUMNS
    reductions: ClassVar[Mapping[str, str]] = {"exposure": "mean"}

    def score(self, clip: Clip) -> NDArray[np.float32]:
        """Clipped pixels over pixels of each frame, 0 to 1."""
        luma = clip_luma(clip)
        area = detect_active_area(luma)
        inside = luma[:, area.top : area.bottom, area.left : area.right]
        clipped = (inside <= CLIPPED_BLACK_LUMA) | (inside >= CLIPPED_WHITE_LUMA)
        return clipped.mean(axis=(1, 2), dtype=np.float32)
