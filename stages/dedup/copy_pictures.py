"""Small pictures of a clip as vectors: each alone, how they change, and what they have beyond their mean."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
"""Luma, ``[N, S, S]``."""

CONTRAST_MIN = 2.0
"""Standard deviation of a picture's luma below which it shows nothing."""
LAG = 2
"""Pictures between two that are compared for change."""


@dataclass(frozen=True)
class ClipPictures:
    """Small pictures of one clip.

    Attributes:
        seconds: float64 ``[N]``, their times from the start of the clip; rises.
        luma: float32 ``[N, S, S]``.
    """

    seconds: NDArray[np.float64]
    luma: Pictures

    def __len__(self) -> int:
        return len(self.seconds)


def normalized(pictures: Pictures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pictures ``[N, S * S]`` of mean 0 and length 1, and the contrast of each."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    return flat / np.maximum(length, 1e-3)[:, None], length / np.float32(np.sqrt(flat.shape[1]))


def changes(pictures: Pictures) -> NDArray[np.float32]:
    """Change around each picture, in contrasts, ``[N, S * S]``."""
    vectors, contrast = normalized(pictures)
    values = vectors * contrast[:, None]
    index = np.arange(len(values))
    before, after = np.maximum(index - LAG // 2, 0), np.minimum(index + LAG // 2, len(values) - 1)
    typical = max(float(np.median(contrast)), CONTRAST_MIN)
    return np.asarray((values[after] - values[before]) / np.float32(typical * np.sqrt(values.shape[1])), np.float32)


def course(pictures: Pictures) -> NDArray[np.float32]:
    """What each picture has beyond the mean of all, in contrasts."""
    vectors, contrast = normalized(pictures)
    values = vectors * contrast[:, None]
    return values - values.mean(axis=0)


def correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Of two arrays of one shape, whose means are 0."""
    return float((left * right).sum() / max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-9))


def shows_something(clip: ClipPictures) -> bool:
    """Whether most of its pictures are more than flat."""
    return float(np.median(clip.luma.reshape(len(clip), -1).std(axis=1))) >= CONTRAST_MIN
