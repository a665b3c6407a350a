"""Damage that a decoder does not report, found in the pictures: a part of the picture snaps back at a keyframe.

What a damaged packet spoils stays spoilt until the next keyframe. There, that part changes at once, while the rest of
the picture goes on as before and shows that this is no cut. The same part has changed before in the GOP, when it was
spoilt. An encoder puts keyframes at cuts and flashes too, so only those count that come after the longest distance of
keyframes in the stream, where the encoder had no other reason.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Counts = NDArray[np.int16]

LONG_SIDE_PX = 96
STEP_LEVELS = 10
"""Grey levels of 255 by which a pixel must change."""
LAGS = (1, 3)
"""Frames that a change may take: B-frames blend the damage into the keyframe that follows them."""
STEPS = 4
"""So many changes before and after are compared: an animation may change at every other frame, or every third."""
REACH = max(LAGS) + STEPS - 1
AREA_MIN, AREA_MAX = 0.05, 0.5
"""Share of the picture that snaps back. More is a cut."""
CHANGED_BEFORE_MIN = 0.7
"""Share of that part that must have changed before in the GOP."""
REST_MAX = 0.12
"""Change of the rest of the picture, as a share of the part's."""
MAX_FRAMES = 250
"""Of a longer GOP the last so many frames are looked at."""
LEADING_FRAMES = 4
"""Frames shown before a keyframe that may be predicted from it."""


class SnapBackDetector:
    """Finds the GOPs of a stream at whose end a part of the picture snaps back. Memory is bounded."""

    def __init__(self) -> None:
        self._recent: deque[Pictures] = deque(maxlen=MAX_FRAMES + 2 * REACH + 1)
        self._num_frames = 0
        self._keys: list[int] = []
        self._found: list[tuple[int, int, float]] = []

    def push(self, picture: Pictures, *, is_keyframe: bool) -> None:
        """Add the next frame: luma, uint8 ``[H, W]``, of one size for the whole stream."""
        self._recent.append(picture)
        if is_keyframe:
            self._keys.append(self._num_frames)
        self._num_frames += 1
        if len(self._keys) > 1 and self._num_frames == self._keys[-1] + REACH + 1:
            self._measure()

    def scores(self) -> NDArray[np.float32]:
        """For each frame, the share of the picture that snaps back at the end of its GOP; 0 without damage."""
        if len(self._keys) > 1 and self._num_frames <= self._keys[-1] + REACH:
            self._measure()
        scores = np.zeros(self._num_frames, np.float32)
        longest = max(np.diff(self._keys), default=0)
        for start, end, share in self._found:
            if end - start == longest:
                scores[max(0, start - LEADING_FRAMES) : end] = share
        return scores

    def _measure(self) -> None:
        """Measure the last whole GOP."""
        start, end = self._keys[-2:]
        oldest = self._num_frames - len(self._recent)
        first = max(oldest, start - REACH, end - MAX_FRAMES)
        pictures = np.stack([self._recent[index - oldest] for index in range(first, self._num_frames)])
        share = max(snap_back(pictures, end - first, lag) for lag in LAGS)
        if share:
            self._found.append((start, end, share))


def snap_back(pictures: Pictures, key: int, lag: int) -> float:
    """The share of the picture that changes within `lag` frames up to the keyframe and meets the rule; else 0.

    Args:
        pictures: uint8 ``[N, H, W]``, the GOP before the keyframe, and what follows it.
        key: index of the keyframe.
        lag: frames that the change may take.
    """
    if key <= lag:
        return 0.0
    change = _change(pictures, key - lag, key)
    others = [
        _change(pictures, *np.clip([start, start + lag], 0, len(pictures) - 1))
        for step in range(STEPS)
        for start in (key - 2 * lag - step, key + step)
    ]
    part = change - _widened(np.max(others, axis=0)) > STEP_LEVELS
    share = float(part.mean())
    if not AREA_MIN <= share <= AREA_MAX or change[~part].mean() > REST_MAX * change[part].mean():
        return 0.0
    spoilt = np.zeros(int(part.sum()), np.bool_)
    for index in range(1, key - lag + 1):
        spoilt |= _change(pictures, max(0, index - lag), index)[part] > STEP_LEVELS
    return share if spoilt.mean() >= CHANGED_BEFORE_MIN else 0.0


def _change(pictures: Pictures, first: int, last: int) -> Counts:
    return cv2.absdiff(pictures[first], pictures[last]).astype(np.int16)


def _widened(change: Counts) -> Counts:
    """Largest value around each pixel, since what moves changes its neighbours next."""
    return cv2.dilate(change, np.ones((5, 5), np.uint8)).astype(np.int16)
