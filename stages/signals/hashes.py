"""Perceptual hashes of pictures, by which copies are found, and the small pictures by which they are confirmed."""

import itertools
from array import array
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media import Colour, sdr_luma
from stages.signals.bars import Area, BarsWindow, Lines, lines_of
from stages.signals.fast_pictures import FastMotion, FastPictures
from stages.signals.frame_pictures import FramePictures
from stages.signals.pdq import SIDE_PX, dct, hash_bits, qualities_of
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.signals.stills import StillPictures
from stages.tasks import Row

PICTURES_PER_S = 8
LONG_SIDE_PX = 128
SHORT_SIDE_MIN_PX = 8
"""Of the picture in which bars are looked for."""
BARS_WINDOW = 2 * PICTURES_PER_S
"""Bars must be there in so many pictures before and after."""
AREA_INTERVAL = PICTURES_PER_S // 2
"""Pictures after which bars are looked for again."""
NOISE_SHARE = 0.3
"""Of the picture, that with the least change: what moves is no noise."""
BATCH_PICTURES = 16
"""Pictures that are hashed one after another: between frames of a decode, the code of each step would be out of the
cache for each, which takes up to twice as long."""
THUMBNAIL_PX = 24
"""Sides of the small picture that is stored."""
_LEVELS = np.arange(256, dtype=np.float64)


class _Picture(NamedTuple):
    """A picture that is to be hashed, and those between it and the next one, of fast motion."""

    frame: int
    luma: NDArray[np.uint8]
    small: NDArray[np.uint8]
    between: list[tuple[int, NDArray[np.uint8]]]


class PictureTimes:
    """Selects the first frame at or after each time, `PICTURES_PER_S` a second from the first frame on; exact."""

    def __init__(self, time_base: Fraction) -> None:
        # Of integers: arithmetic of fractions costs as much as hashing.
        self._per_pts, self._per_step = PICTURES_PER_S * time_base.numerator, time_base.denominator
        self._origin: int | None = None
        self._due_pts = 0

    def is_due(self, pts: int) -> bool:
        """True for a frame that is to be taken; PTS must rise."""
        if self._origin is None:
            self._origin = pts
        elif pts < self._due_pts:
            return False
        steps = (pts - self._origin) * self._per_pts // self._per_step + 1
        self._due_pts = self._origin - (-steps * self._per_step // self._per_pts)  # rounded up
        return True


class HashRecorder(Recorder):
    """Records PDQ and a small picture of `PICTURES_PER_S` frames a second, of the area inside bars.

    HDR is hashed as the SDR that it would be shown as.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "hashes"
    version = "3"
    clip_columns = ("picture_share", "noise")

    def __init__(self, time_base: Fraction) -> None:
        self._times = PictureTimes(time_base)
        self._motion = FastMotion(time_base)
        self._waiting: list[_Picture] = []
        self._newest: _Picture | None = None
        self._ahead: deque[_Picture] = deque()
        self._frames = array("q")
        # Growing arrays: small ones between the pictures of a decode would fragment the heap.
        self._values = {"pdq": bytearray(), "thumbnail": bytearray()}
        self._shares, self._noise = array("d"), array("d")
        self._qualities = bytearray()
        self._unhashed: list[NDArray[np.uint8]] = []
        self._before: deque[NDArray[np.uint8]] = deque(maxlen=2)
        self._stills = StillPictures()
        self._fast = FastPictures()
        self._bars: BarsWindow | None = None
        self._area: Area | None = None

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded = pictures.decoded
        if self._times.is_due(decoded.pts):
            self.add_due(decoded.index, decoded.pts, hashed_luma(pictures))
        elif self._is_between_due(decoded.pts):
            self._add_between(decoded.index, hashed_luma(pictures))

    def add_due(self, frame: int, pts: int, luma: NDArray[np.uint8]) -> None:
        """Add the next frame to be hashed, by its index: luma from `hashed_luma`."""
        small = thumbnail(luma)
        self._motion.add(pts, small)
        self._newest = _Picture(frame, luma, small, [])
        self._waiting.append(self._newest)
        if len(self._waiting) >= BATCH_PICTURES:
            self._take_waiting()

    def add_other(self, frame: int, pts: int, luma: NDArray[np.uint8]) -> None:
        """Add the next frame that is not to be hashed: it is taken where motion is fast."""
        if self._is_between_due(pts):
            self._add_between(frame, luma)

    def samples(self) -> Samples:
        """``pdq`` ``[N, 32]``, ``thumbnail`` ``[N, 576]``, ``pdq_quality``, ``picture_share`` and ``noise`` ``[N]``."""
        self._finish()
        sizes = {"pdq": 32, "thumbnail": THUMBNAIL_PX * THUMBNAIL_PX}
        values: dict[str, NDArray[Any]] = {
            name: np.frombuffer(bytes(self._values[name]), np.uint8).reshape(-1, size) for name, size in sizes.items()
        }
        values["pdq_quality"] = np.frombuffer(bytes(self._qualities), np.uint8)
        values["picture_share"] = np.array(self._shares, np.float32)
        values["noise"] = np.array(self._noise, np.float32)
        return Samples(np.array(self._frames, np.int64), values)

    def still_samples(self) -> Samples:
        """See `StillPictures`."""
        self._finish()
        return self._stills.samples()

    def fast_samples(self) -> Samples:
        """See `FastPictures`."""
        self._finish()
        return self._fast.samples()

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The middle share of the frame that lies inside bars, and the middle noise; None without any.

        Dedup reads the other values.
        """
        inside = samples.within(start, end)
        noise = inside["noise"][np.isfinite(inside["noise"])]
        return {
            "picture_share": float(np.median(inside["picture_share"])) if len(inside) else None,
            "noise": float(np.median(noise)) if len(noise) else None,
        }

    def _is_between_due(self, pts: int) -> bool:
        return self._newest is not None and self._motion.is_due(pts)

    def _add_between(self, frame: int, luma: NDArray[np.uint8]) -> None:
        if self._newest is not None and luma.shape == self._newest.luma.shape:
            self._newest.between.append((frame, luma))

    def _take_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for _, group in itertools.groupby(waiting, lambda picture: picture.luma.shape):
            pictures = list(group)
            for picture, lines in zip(pictures, lines_of([each.luma for each in pictures]), strict=True):
                self._take(picture, lines)

    def _take(self, picture: _Picture, lines: Lines) -> None:
        """Add the next picture, and measure the one that `BARS_WINDOW` of them follow now."""
        luma = picture.luma
        if self._bars is None or (self._ahead and luma.shape != self._ahead[-1].luma.shape):
            self._measure_ahead()
            self._area = None
            self._bars = BarsWindow((luma.shape[0], luma.shape[1]), 2 * BARS_WINDOW + 1)
            self._before.clear()
        self._ahead.append(picture)
        self._bars.push(lines)
        if len(self._ahead) > BARS_WINDOW:
            if self._area is None or len(self._frames) % AREA_INTERVAL == 0:
                self._area = self._bars.area()
            self._measure(self._area)

    def _finish(self) -> None:
        self._take_waiting()
        self._measure_ahead()
        self._hash()

    def _measure_ahead(self) -> None:
        area = self._bars.area() if self._bars is not None else None
        while self._ahead and area is not None:
            self._measure(area)

    def _measure(self, area: Area) -> None:
        """Measure the oldest picture that waits."""
        picture = self._ahead.popleft()
        inside = area.of(picture.luma)
        small = picture.small if inside.shape == picture.luma.shape else thumbnail(inside)
        self._frames.append(picture.frame)
        self._shares.append(inside.size / picture.luma.size)
        self._noise.append(_noise(inside, [area.of(each) for each in self._before]))
        self._before.append(picture.luma)
        self._stills.add(picture.frame, inside, small)
        self._values["thumbnail"] += small.tobytes()
        for frame, luma in picture.between:
            self._fast.add(frame, thumbnail(area.of(luma)))
        self._unhashed.append(_resized(inside, SIDE_PX))
        if len(self._unhashed) >= BATCH_PICTURES:
            self._hash()

    def _hash(self) -> None:
        """Hash what was measured."""
        if self._unhashed:
            pictures = np.stack(self._unhashed)
            self._values["pdq"] += hash_bits(dct(pictures.astype(np.float32))).tobytes()
            self._qualities += qualities_of(pictures).tobytes()
            self._unhashed = []


def hashed_luma(pictures: FramePictures) -> NDArray[np.uint8]:
    """Luma of a frame as it is hashed, uint8 ``[H, W]``."""
    luma = pictures.luma(LONG_SIDE_PX, min_px=SHORT_SIDE_MIN_PX, by_area=True)
    return sdr_luma(luma, Colour.of(pictures.decoded.frame))


def thumbnail(inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The small picture of what is inside the bars, uint8 ``[24, 24]``."""
    return _resized(inside, THUMBNAIL_PX)


def _resized(inside: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return cv2.resize(inside, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _noise(luma: NDArray[np.uint8], before: Sequence[NDArray[np.uint8]]) -> float:
    """How much the stillest part of a picture changes in levels, beyond an even change; NaN at the beginning.

    Args:
        luma: the picture.
        before: the two pictures before it, the oldest first; fewer at the beginning.
    """
    if len(before) < 2:
        return float("nan")
    change = cv2.absdiff(cv2.addWeighted(before[0], 0.5, luma, 0.5, 0.0), before[1])
    # By how many pixels change by each level: to order the pixels takes several times as long.
    counts = cv2.calcHist([change], [0], None, [256], [0, 256]).ravel()
    wanted = int(NOISE_SHARE * luma.size) + 1
    below = np.cumsum(counts)
    last = int(np.searchsorted(below, wanted))
    return float((_LEVELS[:last] @ counts[:last] + last * (wanted - (below[last - 1] if last else 0))) / wanted)
