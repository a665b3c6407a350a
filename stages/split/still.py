"""Shot changes between still pictures (slides, screens), which a network trained on film passes over."""

from array import array

import numpy as np
from numpy.typing import NDArray

from stages.split.spans import Timeline

STILL_S = 1.0
"""A slide stands this long before and after its change; parts of an animated title follow each other faster."""
STILL_LEVELS = 0.5
"""Mean change of a frame that stands still, in grey levels of 255: what compression leaves of a still picture."""
STILL_SHARE = 0.1
"""The change must be this many times as large as what happens around it."""


class StillDetector:
    """Measures how much each frame differs from the one before, and finds the lone changes among still frames."""

    def __init__(self) -> None:
        self._changes = array("f")
        self._last: NDArray[np.int16] | None = None

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Take the next frames, uint8 ``[N, H, W, 3]``."""
        if not len(pictures):
            return
        current = pictures.astype(np.int16)
        before = self._last[None] if self._last is not None else current[:1]
        steps = np.abs(np.diff(np.concatenate([before, current]), axis=0))
        self._changes.extend(steps.mean(axis=(1, 2, 3)).tolist())
        self._last = current[-1]

    def cuts(self, timeline: Timeline, threshold: float) -> list[int]:
        """First frames of new pictures that differ from the still one before by at least `threshold` grey levels.

        The frames of a second before and of a second after stand still; nearer to the ends of the stream none is found.
        """
        changes = np.frombuffer(self._changes, np.float32)
        return [frame for frame in np.flatnonzero(changes >= threshold).tolist() if _is_lone(frame, changes, timeline)]


def _is_lone(frame: int, changes: NDArray[np.float32], timeline: Timeline) -> bool:
    """True where nothing but this frame changes for `STILL_S` before and after."""
    reach = timeline.units(STILL_S)
    first_pts, last_pts = timeline.at(frame) - reach, timeline.at(frame) + reach
    if first_pts < timeline.at(0) or last_pts > timeline.end_pts:
        return False
    first, last = timeline.first_at_or_after(first_pts), timeline.first_at_or_after(last_pts)
    before, after = changes[first + 1 : frame], changes[frame + 1 : last]
    if not len(before) or not len(after):  # a frame a second shows nothing that stands
        return False
    return max(float(before.max()), float(after.max())) <= min(STILL_LEVELS, STILL_SHARE * float(changes[frame]))
