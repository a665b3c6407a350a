"""Larger pictures of what stands still: slides of one layout are told apart by these, and not by their hashes."""

from array import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.signals.samples import Samples

STILL_PX = 96
"""Sides of the picture that is stored."""
STILL_INTERVAL = 8
"""Hashed pictures of which at most one is stored."""
STILL_LEVELS = 2.0
"""Largest difference, root mean square of two small pictures in turn, of what stands still. Noise differs by less."""


class StillPictures:
    """Collects one of `STILL_INTERVAL` hashed pictures where they stand still."""

    def __init__(self) -> None:
        self._frames = array("q")
        self._pictures = bytearray()
        self._before: NDArray[Any] | None = None
        self._count, self._due = 0, 0

    def add(self, frame: int, inside: NDArray[np.uint8], small: NDArray[Any]) -> None:
        """Add the next hashed picture.

        Args:
            frame: its index.
            inside: uint8 ``[H, W]``, what it shows inside bars.
            small: the same, made small.
        """
        is_still = self._before is not None and _difference(small, self._before) <= STILL_LEVELS
        self._before = small
        if is_still and self._count >= self._due:
            self._due = self._count + STILL_INTERVAL
            larger = cv2.resize(inside, (STILL_PX, STILL_PX), interpolation=cv2.INTER_AREA)
            self._frames.append(frame)
            self._pictures += larger.tobytes()
        self._count += 1

    def samples(self) -> Samples:
        """``still`` ``[N, 9216]``."""
        pictures = np.frombuffer(bytes(self._pictures), np.uint8).reshape(-1, STILL_PX * STILL_PX)
        return Samples(np.array(self._frames, np.int64), {"still": pictures})


def _difference(left: NDArray[Any], right: NDArray[Any]) -> float:
    return float(cv2.norm(left, right, cv2.NORM_L2)) / float(np.sqrt(left.size))
