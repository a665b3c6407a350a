"""Small pictures of a clip as vectors: each alone, how they change, and what they have beyond their mean."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
"""Luma, ``[N, S, S]``."""

CONTRAST_MIN = 2.0
"""Standard deviation of a picture's luma below which it shows nothing."""
LAG = 2
"""Pictures between two that are compared for change."""


class TimedPictures(NamedTuple):
    """Pictures and their times.

    Attributes:
        seconds: float64 ``[N]``; rises.
        luma: float32 ``[N, S, S]``.
    """

    seconds: NDArray[np.float64]
    luma: Pictures


@dataclass(frozen=True)
class ClipPictures:
    """Small pictures of one clip.

    Attributes:
        seconds: float64 ``[N]``, times of the hashed pictures from the start of the clip; rises.
        luma: float32 ``[N, S, S]``.
        fast: those between them, where motion is fast; None without any.
    """

    seconds: NDArray[np.float64]
    luma: Pictures
    fast: TimedPictures | None = None

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def hashed(self) -> TimedPictures:
        """The hashed pictures alone."""
        return TimedPictures(self.seconds, self.luma)

    @property
    def per_second(self) -> float:
        """Pictures a second, of all."""
        return (len(self.every.seconds) - 1) / max(float(self.seconds[-1] - self.seconds[0]), 1e-3)

    @cached_property
    def every(self) -> TimedPictures:
        """All pictures, in the order of time."""
        if self.fast is None:
            return self.hashed
        seconds = np.concatenate([self.seconds, self.fast.seconds])
        order = np.argsort(seconds, kind="stable")
        return TimedPictures(seconds[order], np.concatenate([self.luma, self.fast.luma])[order])


def normalized(pictures: Pictures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pictures ``[N, S * S]`` of mean 0 and length 1, and the contrast of each."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    return flat / np.maximum(length, 1e-3)[:, None], length / np.float32(np.sqrt(flat.shape[1]))


def changes(pictures: Pictures) -> NDArray[np.float32]:
    """Change around each picture, in contrasts, ``[N, S * S]``."""
    values = in_contrasts(pictures)
    after, before = around(len(values))
    return values[after] - values[before]


def around(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each of so many pictures, the one after it and the one before it that its change is told by."""
    index = np.arange(count)
    return np.minimum(index + LAG // 2, count - 1), np.maximum(index - LAG // 2, 0)


def in_contrasts(pictures: Pictures) -> NDArray[np.float32]:
    """Pictures ``[N, S * S]`` of mean 0, in units of the contrast that is usual among them."""
    vectors, contrast = normalized(pictures)
    typical = max(float(np.median(contrast)), CONTRAST_MIN)
    return np.asarray(vectors * (contrast[:, None] / np.float32(typical * np.sqrt(vectors.shape[1]))), np.float32)


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
