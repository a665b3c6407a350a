"""Cuts between static images (slides, screens), which a network trained on film misses."""

from array import array

import numpy as np
from numpy.typing import NDArray

from stages.split.timeline import Timeline

STATIC_S = 1.0
"""Frames are static for this long before and after a cut; parts of an animated title follow each other faster."""
MAX_STATIC_CHANGE = 0.5
"""Upper limit of the mean change between static frames, in grey levels of 255: compression noise of a static image."""
MAX_STATIC_RATIO = 0.1
"""Upper limit of the changes around a cut, as a fraction of the change at the cut."""


class StaticCutDetector:
    """Measures the difference between successive frames."""

    def __init__(self) -> None:
        self._changes = array("f")
        self._last: NDArray[np.int16] | None = None

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames, uint8 ``[N, H, W, 3]``."""
        if not len(pictures):
            return
        current = pictures.astype(np.int16)
        before = self._last[None] if self._last is not None else current[:1]
        steps = np.abs(np.diff(np.concatenate([before, current]), axis=0))
        self._changes.extend(steps.mean(axis=(1, 2, 3)).tolist())
        self._last = current[-1]

    def changes(self) -> NDArray[np.float32]:
        """For each pushed frame the mean change against the one before, in grey levels of 255; 0 for the first."""
        return np.array(self._changes, np.float32)


def static_cuts(changes: NDArray[np.float32], timeline: Timeline, threshold: float) -> list[int]:
    """First frames of static images that differ from the static image before by at least `threshold` grey levels.

    Frames are static for a second before and after a cut, so none is found within a second of the stream's ends.

    Args:
        changes: from `StaticCutDetector.changes`.
        timeline: of the same stream.
        threshold: in grey levels of 255.
    """
    return [frame for frame in np.flatnonzero(changes >= threshold).tolist() if _is_isolated(frame, changes, timeline)]


def _is_isolated(frame: int, changes: NDArray[np.float32], timeline: Timeline) -> bool:
    """True if no other frame changes for `STATIC_S` before and after this one."""
    reach = timeline.units(STATIC_S)
    first_pts, last_pts = timeline.at(frame) - reach, timeline.at(frame) + reach
    if first_pts < timeline.at(0) or last_pts > timeline.end_pts:
        return False
    first, last = timeline.first_at_or_after(first_pts), timeline.first_at_or_after(last_pts)
    before, after = changes[first + 1 : frame], changes[frame + 1 : last]
    if not len(before) or not len(after):  # at one frame per second none is near enough to be compared
        return False
    return max(float(before.max()), float(after.max())) <= min(
        MAX_STATIC_CHANGE, MAX_STATIC_RATIO * float(changes[frame])
    )
