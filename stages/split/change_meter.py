"""Measures how consecutive small pictures change: how far, over how much of the picture, and whether steadily.

A dissolve or fade changes the whole picture in one direction, frame after frame; motion changes parts of it to and fro:

                        spread              coherence           contrast
    motion              low                 around 0            steady
    dissolve            high                near 1              steady
    fade                high                near 1              falls to 0, then rises
    wipe                low                 around 0            steady
    flash               high                -1 where it ends    the picture returns
"""

from array import array

import numpy as np
from numpy.typing import NDArray

STEP_S = 0.08
"""Distance of the pictures whose changes are compared for coherence: long enough for a slow dissolve to be seen."""
RETURN_S = 0.2
"""A flash is over after this time."""
NOISE_LEVELS = 0.3
"""Grey levels of a change that is compression noise: below it no direction is told."""
USUAL_RATE = 25.0
COLUMNS = ("change_spread", "change_coherence", "contrast", "return_change", "return_frames")


class ChangeMeter:
    """Measures the pictures of one video, pushed in order. Keeps some tenths of a second of them.

    Args:
        rate: frames a second; None where it is unknown.
    """

    def __init__(self, rate: float | None) -> None:
        rate = rate or USUAL_RATE
        self._step = max(1, round(STEP_S * rate))
        self._reach = max(2, round(RETURN_S * rate))
        self._recent: NDArray[np.float32] | None = None
        self._values = {name: array("f") for name in COLUMNS}

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames, uint8 ``[N, H, W, 3]``."""
        if not len(pictures):
            return
        new = pictures.reshape(len(pictures), -1).astype(np.float32)
        recent = self._recent if self._recent is not None else new[:0]
        both = np.concatenate([recent, new])
        self._measure(both, len(recent))
        self._recent = both[-max(2 * self._step, self._reach) :]

    def measured(self) -> dict[str, NDArray[np.float32]]:
        """By column, one value a frame.

        ``change_spread``: share of the picture over which the change against the frame before is spread, 0 to 1.
        ``change_coherence``: cosine between the changes before and after the frame, each over `STEP_S`.
        ``contrast``: standard deviation of the picture, in grey levels.
        ``return_change``: mean change against the most alike of the frames up to `RETURN_S` before, but the last one,
        in grey levels; 255 where there are none. ``return_frames``: how many frames before it lies; 0 where there are
        none.
        """
        found = {name: np.array(values, np.float32) for name, values in self._values.items()}
        # The first frames have none as far before, the last none as far after.
        coherence = np.concatenate([found["change_coherence"][self._step :], np.zeros(self._step, np.float32)])
        return {**found, "change_coherence": coherence[: len(found["contrast"])]}

    def _measure(self, both: NDArray[np.float32], first: int) -> None:
        """Append the values of the frames from `first` on."""
        columns = (_spread(both), _coherence(both, self._step), _contrast(both), *_returns(both, self._reach))
        for name, values in zip(COLUMNS, columns, strict=True):
            self._values[name].extend(values[first:].tolist())


def _spread(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each frame, 0 of the first: (mean change)^2 over mean square change, of pixels."""
    spread = np.zeros(len(pictures), np.float32)
    change = np.abs(np.diff(pictures, axis=0)).reshape(-1, pictures.shape[1] // 3, 3).sum(axis=2)
    squares = np.square(change).mean(axis=1)
    spread[1:] = np.square(change.mean(axis=1)) / np.maximum(squares, 1e-6)
    return spread


def _coherence(pictures: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Cosine between the change up to `step` frames before each frame and the change from there to it."""
    coherence = np.zeros(len(pictures), np.float32)
    if len(pictures) <= 2 * step:
        return coherence
    change = pictures[step:] - pictures[:-step]
    size = np.linalg.norm(change, axis=1)
    floor = NOISE_LEVELS**2 * pictures.shape[1]
    products = np.einsum("ij,ij->i", change[:-step], change[step:])
    coherence[2 * step :] = products / np.maximum(size[:-step] * size[step:], floor)
    return coherence


def _contrast(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return pictures.reshape(len(pictures), -1, 3).std(axis=1).mean(axis=1)


def _returns(pictures: NDArray[np.float32], reach: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Change against the most alike of the frames 2 to `reach` before, and its distance."""
    least = np.full(len(pictures), 255, np.float32)
    frames = np.zeros(len(pictures), np.float32)
    for distance in range(2, min(reach, len(pictures) - 1) + 1):
        change = np.abs(pictures[distance:] - pictures[:-distance]).mean(axis=1)
        frames[distance:][change < least[distance:]] = distance
        least[distance:] = np.minimum(least[distance:], change)
    return least, frames
