"""Small pictures of every frame where motion is too fast for those between two hashed pictures to be a mean of both.

Water, sparks, stop motion: a copy that begins one frame later has its hashed pictures between those of its original,
and is like it only where the frames between are known too.
"""

from array import array
from collections import deque
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.signals.samples import Samples

FAST_PICTURES_PER_S = 32
"""Of fast motion, at most; the frames of usual rates up to 30 are all taken."""
FAST_LEVELS = 2.0
FAST_SHARE = 0.55
"""Of three hashed pictures, how much the middle one differs from the mean of the others, root mean square: in levels
and as a share of how much these differ from each other, from which on motion is too fast."""
COMPARED_PX = 24


class FastMotion:
    """Tells from hashed pictures whether the frames between them are needed too, and selects these."""

    def __init__(self, time_base: Fraction) -> None:
        self._per_pts, self._per_step = FAST_PICTURES_PER_S * time_base.numerator, time_base.denominator
        self._last = deque[NDArray[np.int16]](maxlen=3)
        self._due_pts = 0
        self._is_fast = False

    def add(self, pts: int, small: NDArray[np.uint8]) -> None:
        """Add the next hashed picture, made small: ``[24, 24]``."""
        self._last.append(small.astype(np.int16))
        self._is_fast = len(self._last) == 3 and _is_fast(*self._last)
        self._count(pts)

    def is_due(self, pts: int) -> bool:
        """True for a frame between hashed ones that is to be taken."""
        if not self._is_fast or pts < self._due_pts:
            return False
        self._count(pts)
        return True

    def _count(self, pts: int) -> None:
        self._due_pts = pts - (-self._per_step // self._per_pts)  # rounded up


class FastPictures:
    """Collects small pictures of the frames between."""

    def __init__(self) -> None:
        self._frames = array("q")
        self._pictures = bytearray()

    def add(self, frame: int, small: NDArray[Any]) -> None:
        """Add the next one, by index of its frame, ``[24, 24]``."""
        self._frames.append(frame)
        self._pictures += small.astype(np.uint8).tobytes()

    def samples(self) -> Samples:
        """``fast_thumbnail`` ``[N, 576]``."""
        pictures = np.frombuffer(bytes(self._pictures), np.uint8).reshape(-1, COMPARED_PX * COMPARED_PX)
        return Samples(np.array(self._frames, np.int64), {"fast_thumbnail": pictures})


def _is_fast(first: NDArray[np.int16], middle: NDArray[np.int16], last: NDArray[np.int16]) -> bool:
    beyond = float(cv2.norm(2 * middle - first - last, cv2.NORM_L2)) / 2
    return beyond >= FAST_LEVELS * COMPARED_PX and beyond >= FAST_SHARE * float(cv2.norm(last, first, cv2.NORM_L2))
