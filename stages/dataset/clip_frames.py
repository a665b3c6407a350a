"""Pictures of a clip: scaled, cropped, collected."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from stages.dataset.sampling import covering_size
from stages.media import UprightScaler
from stages.tasks import Size


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """Frames of a clip in presentation order.

    Attributes:
        images: uint8 ``[T, 3, H, W]``, RGB, upright.
        times_s: float64 ``[T]``, when each begins to be shown, in seconds from the first frame of the clip.
    """

    images: NDArray[np.uint8]
    times_s: NDArray[np.float64]


class FrameCountMismatch(Exception):
    """The file has another number of frames than its row says."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"{found} frames instead of {expected}")


class FrameCollector:
    """Scales pictures and collects them in one array.

    Pictures are RGB before they are scaled, so that the result does not depend on what decoded them.

    Args:
        count: pictures that will be added.
        displayed: size in which the clip is displayed.
        wanted: a picture is scaled, in its proportions, until it covers this size, and cut around its middle; None for
            `displayed`.
    """

    def __init__(self, count: int, displayed: Size, wanted: Size | None) -> None:
        size = wanted or displayed
        self._covering = covering_size(displayed, size)
        left, top = (self._covering.width - size.width) // 2, (self._covering.height - size.height) // 2
        self._crop = (slice(top, top + size.height), slice(left, left + size.width))
        self._scale = UprightScaler(self._covering)
        self._frames = ClipFrames(np.empty((count, 3, size.height, size.width), np.uint8), np.empty(count))
        self._filled = 0

    def add(self, picture: NDArray[np.uint8], time: Fraction | float, repeats: int) -> None:
        """Add a picture so many times: uint8 ``[H, W, 3]``, RGB, upright."""
        height, width = picture.shape[:2]
        if Size(width, height) != self._covering:
            picture = self._scale(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
        part = slice(self._filled, self._filled + repeats)
        self._frames.images[part] = picture[self._crop].transpose(2, 0, 1)
        self._frames.times_s[part] = float(time)
        self._filled += repeats

    def frames(self) -> ClipFrames:
        """All pictures that were added."""
        return self._frames
