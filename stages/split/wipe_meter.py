"""Measures whether an edge passes over the picture: each pixel steps once, and neighbours one after another.

A pixel steps where it stands still before and after, and differs. In a wipe most pixels do so once within a second or
two, and the times of neighbours differ little against those of distant pixels; in a dissolve, in motion and in a cut
times of neighbours differ as much as any:

    times of steps, a wipe to the right      motion
        1 2 3 4 5 6                          - 4 1 - - 3
        1 2 3 4 5 6                          2 - 6 1 - -
"""

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
STILL_FRAMES, STEP_FRAMES = 4, 1
"""A pixel stands still for so many frames before and after a step, which takes up to so many frames beside its own."""
MIN_STEP_LEVELS = 12
"""A step has as many grey levels at least, and more than the pixel changes before and after it."""
QUIET_FRAMES = 6
"""Steps of a pixel that follow one another within so many frames are one."""
WINDOWS = (8, 16, 32, 48, 64)
"""Lengths in frames in which an edge may pass: at 25 frames/s up to 2.6 s."""
MIN_SHARE = 0.4
"""Windows in which fewer pixels step once are not looked at."""
MAX_SHARE_AT_ONCE = 0.35
"""Where more pixels step in one frame there is a cut."""
TRIMMED_SHARE = 0.02
"""Steps that come first and last, by share, are not counted for the length of a wipe."""
COLUMNS = ("wipe_share", "wipe_order", "wipe_length")


class WipeMeter:
    """Measures the pictures of one video, pushed in order. Keeps some of them, and the steps of `WINDOWS`."""

    def __init__(self) -> None:
        self._recent: NDArray[np.int16] | None = None
        self._quiet = np.zeros(0, np.int64)
        self._steps: Bools = np.zeros((0, 0), np.bool_)
        self._counts: dict[int, NDArray[np.int16]] = {}
        self._values = {name: array("f") for name in COLUMNS}
        self._num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames, uint8 ``[N, H, W, 3]``."""
        if not len(pictures):
            return
        new = pictures.astype(np.int16)
        if self._recent is None:
            self._recent = new[:0]
            self._quiet = np.full(new[0].size // 3, QUIET_FRAMES)
            self._steps = np.zeros((WINDOWS[-1], new[0].size // 3), np.bool_)
            self._counts = {window: np.zeros(new[0].size // 3, np.int16) for window in WINDOWS}
            self._append([(0.0, 1.0, 0.0)] * STILL_FRAMES)
        both = np.concatenate([self._recent, new])
        self._append(self._measured_frames(_steps(both), new.shape[1:3]))
        self._recent = both[-(2 * STILL_FRAMES + STEP_FRAMES - 1) :]
        self._num_frames += len(pictures)

    def measured(self) -> dict[str, NDArray[np.float32]]:
        """By column, one value a frame, about the window that ends there and holds most of a wipe.

        ``wipe_share``: of the picture's pixels that step once in it. ``wipe_order``: mean distance in time of steps of
        neighbours over that of any two; below 0.3 for an edge. ``wipe_length``: frames from the first step to the last.
        Share and length are 0, order is 1, where nothing passes.
        """
        missing = max(0, self._num_frames - len(self._values[COLUMNS[0]]))
        self._append([(0.0, 1.0, 0.0)] * missing)
        return {name: np.array(values, np.float32)[: self._num_frames] for name, values in self._values.items()}

    def _append(self, rows: "Iterator[tuple[float, float, float]] | list[tuple[float, float, float]]") -> None:
        for row in rows:
            for name, value in zip(COLUMNS, row, strict=True):
                self._values[name].append(value)

    def _measured_frames(self, steps: Bools, shape: tuple[int, ...]) -> Iterator[tuple[float, float, float]]:
        for step in steps:
            is_first = step & (self._quiet >= QUIET_FRAMES)
            self._quiet = np.where(step, 0, self._quiet + 1)
            for window, counts in self._counts.items():
                counts += is_first
                counts -= self._steps[-window]
            self._steps[:-1] = self._steps[1:]
            self._steps[-1] = is_first
            yield self._best_window(shape)

    def _best_window(self, shape: tuple[int, ...]) -> tuple[float, float, float]:
        """Share, order and length of the shortest window in which about the most pixels step once."""
        best, found = MIN_SHARE, (0.0, 1.0, 0.0)
        for window in WINDOWS:
            is_once = self._counts[window] == 1
            share = float(is_once.mean())
            if share < best:
                continue
            times = self._steps[-window:].argmax(axis=0)
            if np.bincount(times[is_once]).max() > MAX_SHARE_AT_ONCE * is_once.size:
                continue
            ordered = np.sort(times[is_once])
            first = ordered[int(TRIMMED_SHARE * len(ordered))]
            best, found = share + 0.02, (share, _order(times, is_once, shape), float(window - first))
        return found


def _steps(pictures: NDArray[np.int16]) -> Bools:
    """Of each frame but the first and last, which pixels step between the frame before and those after it."""
    flat = pictures.reshape(len(pictures), -1, 3)
    distance = STILL_FRAMES + STEP_FRAMES
    number = len(flat) - STILL_FRAMES - distance + 1
    if number < 1:
        return np.zeros((0, flat.shape[1]), np.bool_)
    shifted = [flat[start : start + number + distance] for start in range(STILL_FRAMES)]
    sums = np.add.reduce(shifted, dtype=np.int16)
    unrest = (np.maximum.reduce(shifted) - np.minimum.reduce(shifted)).sum(axis=2, dtype=np.int16)
    change = np.abs(sums[distance:] - sums[:number]).sum(axis=2, dtype=np.int16)
    # Of sums over frames and channels, and of sums over channels.
    limit = np.maximum(3 * MIN_STEP_LEVELS, unrest[:number] + unrest[distance:])
    return change > STILL_FRAMES * limit


def _order(times: NDArray[np.int64], is_once: Bools, shape: tuple[int, ...]) -> float:
    """Mean distance in time of neighbours that step once, over that of any two such pixels; 1 where there are none."""
    grid, mask = times.reshape(shape), is_once.reshape(shape)
    across, down = mask[:, 1:] & mask[:, :-1], mask[1:] & mask[:-1]
    near = np.concatenate([np.abs(np.diff(grid, axis=1))[across], np.abs(np.diff(grid, axis=0))[down]])
    ordered = np.sort(times[is_once])
    number = len(ordered)
    far = 2 * float(((2 * np.arange(1, number + 1) - number - 1) * ordered).sum()) / max(1, number * (number - 1))
    return float(near.mean()) / far if len(near) and far else 1.0
