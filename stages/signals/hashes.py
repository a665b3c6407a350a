"""Perceptual hashes of pictures, by which copies are found, and the small pictures by which they are confirmed."""

from array import array
from collections import deque
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media import Colour, sdr_luma
from stages.signals.bars import Area, Lines, active_area, picture_lines
from stages.signals.frame_pictures import FramePictures
from stages.signals.pdq import SIDE_PX, dct, hash_bits, qualities
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row

PICTURES_PER_S = 8
LONG_SIDE_PX = 128
"""Of the picture in which bars are looked for."""
BARS_WINDOW = 2 * PICTURES_PER_S
"""Bars must be there in so many pictures before and after."""
THUMBNAIL_PX = 24
"""Sides of the small picture that is stored."""


class _Picture(NamedTuple):
    frame: int
    luma: NDArray[np.uint8]
    lines: tuple[Lines, Lines] | None


class HashRecorder(Recorder):
    """Records PDQ and a small picture of `PICTURES_PER_S` frames a second, of the area inside bars.

    HDR is hashed as the SDR that it would be shown as.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "hashes"
    clip_columns = ()

    def __init__(self, time_base: Fraction) -> None:
        self._step = 1 / (PICTURES_PER_S * time_base)
        self._due: Fraction | None = None
        self._ahead: deque[_Picture] = deque()
        self._lines: deque[tuple[Lines, Lines] | None] = deque(maxlen=2 * BARS_WINDOW + 1)
        self._frames = array("q")
        self._values: dict[str, list[NDArray[np.uint8]]] = {"pdq": [], "thumbnail": []}
        self._qualities, self._shape = array("B"), (0, 0)

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded = pictures.decoded
        if self._due is not None and decoded.pts < self._due:
            return
        origin = self._due if self._due is not None else Fraction(decoded.pts)
        self._due = origin + self._step * ((decoded.pts - origin) // self._step + 1)
        luma = sdr_luma(pictures.luma(LONG_SIDE_PX), Colour.of(decoded.frame))
        if luma.shape != self._shape:
            self._finish()
            self._shape = luma.shape
        lines = picture_lines(luma)
        self._ahead.append(_Picture(decoded.index, luma, lines))
        self._lines.append(lines)
        if len(self._ahead) > BARS_WINDOW:
            self._measure(active_area(self._lines, self._shape))

    def samples(self) -> Samples:
        """``pdq`` ``[N, 32]`` and ``thumbnail`` ``[N, 576]``, both uint8, and ``pdq_quality`` ``[N]``."""
        self._finish()
        sizes = {"pdq": 32, "thumbnail": THUMBNAIL_PX * THUMBNAIL_PX}
        values = {
            name: np.stack(self._values[name]) if self._frames else np.zeros((0, size), np.uint8)
            for name, size in sizes.items()
        }
        return Samples(np.array(self._frames, np.int64), {**values, "pdq_quality": np.array(self._qualities, np.uint8)})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """No columns: dedup reads the values themselves."""
        return {}

    def _finish(self) -> None:
        while self._ahead:
            self._measure(active_area(self._lines, self._shape))
        self._lines.clear()

    def _measure(self, area: Area) -> None:
        """Hash the oldest picture that waits."""
        picture = self._ahead.popleft()
        inside = area.of(picture.luma)
        values = cv2.resize(inside, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)[None].astype(np.float32)
        small = cv2.resize(inside, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        self._frames.append(picture.frame)
        self._values["pdq"].append(hash_bits(dct(values))[0])
        self._values["thumbnail"].append(small.astype(np.uint8).ravel())
        self._qualities.append(int(qualities(values)[0]))
