"""The part of a clip's pictures inside black bars. The module imports numpy only, so that the driver can import it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
"""Of full range, ``[N, H, W]``."""

BLACK_LUMA = 25
"""Largest luma of a black pixel: a tenth of full range, as in FFmpeg's blackdetect."""
BLACK_SHARE = 0.98
"""Smallest share of black pixels in a black frame."""
BAR_LUMA = 25
BAR_LUMA_RANGE = 12
"""Largest difference of luma within a line of a bar, over its pixels and all frames of the clip."""
BAR_RINGING_LINES = 2
BAR_EDGE_SHARE = 0.5
"""Smallest share of a bar's inner edge with brighter pixels behind it. Where less is bright, the area is a dark sky."""


class ActiveArea(NamedTuple):
    """The part of a frame inside its black bars, in pixels; `bottom` and `right` are exclusive."""

    top: int
    bottom: int
    left: int
    right: int


def black_frames(luma: Luma) -> NDArray[np.bool_]:
    """Bool ``[N]``: the frame is black."""
    return (luma <= BLACK_LUMA).mean(axis=(1, 2)) >= BLACK_SHARE


def detect_active_area(luma: Luma) -> ActiveArea:
    """The area inside the black bars that all frames share. Black frames are ignored."""
    visible = luma[~black_frames(luma)]
    _, height, width = luma.shape
    if not len(visible):
        return ActiveArea(0, height, 0, width)
    low, high = visible.min(axis=0), visible.max(axis=0)
    top, bottom = _top_bar_lines(low, high), _top_bar_lines(low[::-1], high[::-1])
    low, high = low[top : height - bottom].T, high[top : height - bottom].T
    left, right = _top_bar_lines(low, high), _top_bar_lines(low[::-1], high[::-1])
    return ActiveArea(top, height - bottom, left, width - right)


def _top_bar_lines(low: Luma, high: Luma) -> int:
    """Height of the bar at the upper edge, in lines, from the smallest and largest luma of each pixel over time.

    line 0   black, flat   the bar
    line 1   black, flat
    line 2   brighter along half of its width, else the lines above are no bar
    """
    dark = (high.max(axis=1) <= BAR_LUMA) & (high.max(axis=1) - low.min(axis=1) <= BAR_LUMA_RANGE)
    lines = len(dark) if dark.all() else int(np.argmin(dark))
    # Scaling rings at the edge: the bar's last lines are dark and not flat.
    ringing = (high[lines : lines + BAR_RINGING_LINES].max(axis=1) <= BAR_LUMA) if lines else np.zeros(0, np.bool_)
    lines += int(np.cumprod(ringing).sum())
    # Scaling and JPEG blur the edge, so the next few lines are searched for brighter pixels.
    behind = high[lines : lines + max(4, len(dark) // 32)]
    if not lines or not len(behind):
        return 0
    return lines if (behind.max(axis=0) > BAR_LUMA).mean() >= BAR_EDGE_SHARE else 0
