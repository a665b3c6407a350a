"""Finds frames at which damage may begin: a part of the picture changes at once, and did not in the frames before."""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Blocks = NDArray[np.float32]

BLOCK_PX, STRIDE_PX = 10, 6
"""Side of a block, and from one block to the next."""
COMPARED_STEPS = 3
"""A change of a block counts as far as it exceeds those of the block and its neighbours in so many steps before."""
ONSET_LEVELS = 6.0
"""Grey levels of 255 by which a block must change at an onset."""
USUAL_RATIO = 3.0
USUAL_STEPS = 24
"""It must be so many times the mean of the largest changes of so many steps before: where all moves, that is usual."""


class OnsetDetector:
    """Compares each picture with those before it. Memory is bounded."""

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._before: deque[Blocks] = deque(maxlen=COMPARED_STEPS)
        self._usual: deque[float] = deque(maxlen=USUAL_STEPS)

    def push(self, picture: Picture) -> bool:
        """Add the next frame: luma, uint8 ``[H, W]``, of one size for the whole stream. True where damage may begin."""
        last, self._last = self._last, picture
        if last is None:
            return False
        first = STRIDE_PX // 2
        change = cv2.blur(cv2.absdiff(last, picture).astype(np.float32), (BLOCK_PX, BLOCK_PX))
        blocks = change[first::STRIDE_PX, first::STRIDE_PX]
        excess = 0.0
        if self._before:
            excess = max(0.0, float((blocks - np.max(self._before, axis=0)).max()))
        is_onset = excess > ONSET_LEVELS and excess > USUAL_RATIO * np.mean(self._usual or [0.0])
        self._before.append(cv2.dilate(blocks, np.ones((3, 3), np.uint8)).astype(np.float32, copy=False))
        self._usual.append(excess)
        return bool(is_onset)
