"""Measures changes between averages of frames, which compression disturbs less than changes from frame to frame."""

from array import array
from collections import deque

import numpy as np
from numpy.typing import NDArray

from stages.split.settling import REST, WINDOWS, settled_change

FRAMES = 4
"""Frames that are averaged: a slow dissolve changes less from one to the next than compression does."""
COLUMNS = ("settled_change", "settled_share", "settled_area", "settled_length")


class SlowChangeMeter:
    """Measures the pictures of one video, pushed in order. Keeps averages of some seconds of them."""

    def __init__(self) -> None:
        self._waiting: NDArray[np.uint8] | None = None
        self._averages: deque[NDArray[np.float32]] = deque(maxlen=2 * REST + WINDOWS[-1])
        self._values = {name: array("f") for name in COLUMNS}
        self._num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames, uint8 ``[N, H, W, 3]``."""
        self._num_frames += len(pictures)
        waiting = pictures if self._waiting is None else np.concatenate([self._waiting, pictures])
        whole = len(waiting) // FRAMES * FRAMES
        for start in range(0, whole, FRAMES):
            self._add(waiting[start : start + FRAMES].mean(axis=0, dtype=np.float32))
        self._waiting = waiting[whole:]

    def measured(self) -> dict[str, NDArray[np.float32]]:
        """By column, one value a frame, at the last of those that are averaged; 0 elsewhere and where there is nothing.

        ``settled_change``, ``settled_share``, ``settled_area`` and ``settled_length``, in frames: `SettledChange` of
        the window whose rest after ends there.
        """
        missing = [0.0] * FRAMES
        return {
            name: np.array([*found, *missing], np.float32)[: self._num_frames] for name, found in self._values.items()
        }

    def _add(self, average: NDArray[np.float32]) -> None:
        self._averages.append(average)
        found = settled_change(list(self._averages))
        row = (found.change, found.share, found.area, found.length * FRAMES)
        for values, value in zip(self._values.values(), row, strict=True):
            values.extend([0.0] * (FRAMES - 1) + [value])
