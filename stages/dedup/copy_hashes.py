"""What was recorded of a clip's pictures, and the hashes by which clips are looked for and found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_candidates import LookedFor, landmark_indices, viewed_indices
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_pictures import ClipPictures, TimedPictures
from stages.dedup.copy_views import HASH_BYTES, WINDOWS, View, view_hashes

STILL_LEVELS = 3.0
"""Mean difference of larger pictures from their mean up to which they are one picture."""


@dataclass(frozen=True)
class ClipHashes:
    """What was recorded of one clip's pictures, and where it lies in its video.

    Attributes:
        seconds: float64 ``[N]``, times from the start of the clip; rises.
        thumbnails: uint8 ``[N, S * S]``.
        quality: uint8 ``[N]``, of each picture's hash.
        still_seconds: float64 ``[M]``, times of the larger pictures of what stands still; rises.
        stills: uint8 ``[M, L * L]``.
        video: number of its video.
        shot: number of its shot among all shots of all videos.
        start_s, end_s: its span in the video.
        fast_seconds: float64 ``[K]``, times of pictures between those that are hashed, where motion is fast; rises.
        fast_thumbnails: uint8 ``[K, S * S]``.
    """

    seconds: NDArray[np.float64]
    thumbnails: NDArray[np.uint8]
    quality: NDArray[np.uint8]
    still_seconds: NDArray[np.float64]
    stills: NDArray[np.uint8]
    video: int
    shot: int
    start_s: float
    end_s: float
    fast_seconds: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    fast_thumbnails: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0), np.uint8))

    @property
    def landmarks(self) -> NDArray[np.int64]:
        """The pictures by which it is looked for."""
        return landmark_indices(self.seconds, self.quality)

    def luma(self, chosen: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Some of the small pictures, float32 ``[K, S, S]``."""
        return _squares(self.thumbnails[chosen])

    def pictures(self) -> ClipPictures:
        """The small pictures."""
        luma = self.luma(slice(None))
        if not len(self.fast_seconds):
            return ClipPictures(self.seconds, luma)
        return ClipPictures(self.seconds, luma, TimedPictures(self.fast_seconds, _squares(self.fast_thumbnails)))

    def still(self, start_s: float, end_s: float) -> NDArray[np.float32] | None:
        """The mean of the larger pictures from start to end, float32 ``[L, L]``; None where there is none.

        Of all of the clip's, where they are one picture: fewer have more noise.
        """
        first, last = np.searchsorted(self.still_seconds, [start_s - 0.01, end_s + 0.01])
        if first == last:
            return None
        side = int(np.sqrt(self.stills.shape[1]))
        mean = self.stills.mean(axis=0, dtype=np.float32)
        if float(np.abs(self.stills - mean).mean(axis=1).max()) > STILL_LEVELS:
            mean = self.stills[first:last].mean(axis=0, dtype=np.float32)
        return mean.reshape(side, side)


def landmarks_of(clips: Mapping[int, ClipHashes], views: tuple[View, ...]) -> Landmarks:
    """Hashes of clips by number in these views."""
    return _hashed(clips, {number: clip.landmarks for number, clip in clips.items()}, views)


def looked_for(clips: Mapping[int, ClipHashes], views: tuple[View, ...] = WINDOWS) -> LookedFor:
    """What of clips by number is looked for, in the first views of `WINDOWS`."""
    whole = {number: clip.landmarks for number, clip in clips.items()}
    viewed = {number: each[viewed_indices(len(each))] for number, each in whole.items()}
    return LookedFor(_hashed(clips, whole, views[:1]), _hashed(clips, viewed, views[1:]))


def _hashed(
    clips: Mapping[int, ClipHashes], chosen: Mapping[int, NDArray[np.int64]], views: tuple[View, ...]
) -> Landmarks:
    """Hashes of the chosen pictures of each clip."""
    numbers = np.repeat(np.array([*chosen], np.int64), [len(each) for each in chosen.values()])
    if not len(numbers):
        return Landmarks(numbers, np.empty((0, len(views), HASH_BYTES), np.uint8))
    luma = np.concatenate([clips[number].luma(each) for number, each in chosen.items()])
    return Landmarks(numbers, view_hashes(luma, views))


def _squares(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    side = int(np.sqrt(pictures.shape[1]))
    return pictures.reshape(-1, side, side).astype(np.float32)
