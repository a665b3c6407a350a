"""Sharpness of a frame: how narrow its strongest edges are, measured on crops of the source's own pixels.

The width of an edge is its contrast over its steepest slope. Sharpness is how many such widths the picture's shorter
side has. Edges are measured at the scale of a picture of `REFERENCE_PX`: one scene scores the same in any size from
there on, and an enlarged picture scores no more than the one that it was enlarged from.

The median frequency of slopes tells which of two sizes of one picture is true, see `stages.signals.median_frequency`.
Detail tells whether the picture's size is true: how much its finest scale holds, by what the next one holds.
"""

import re
from array import array
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stages.media import Colour
from stages.signals.frame_pictures import FramePictures
from stages.signals.median_frequency import median_frequency
from stages.signals.recorder import Recorder
from stages.signals.sample_times import SampleTimes
from stages.signals.samples import Samples
from stages.tasks import Row, Size

NativeLuma = NDArray[np.unsignedinteger[Any]]

FRAMES_PER_S = 1.5
BATCH_FRAMES = 8
"""Frames whose crops are measured one after another: between frames of a decode, the code of each step would be out of
the cache for each, which takes up to twice as long."""

REFERENCE_PX = 360
"""Shorter side of the picture that edges are measured in."""
TILE_PX = 110
"""About the side of a crop, in the reference picture."""
MIN_TILE_PX = 8
"""Least side of a crop, in the source's pixels."""
NUM_TILES = 3
"""Crops measured of a frame: those with the steepest slopes."""
SEARCH_PX = 20
"""Side of a crop in the small picture that they are chosen in."""
SMOOTHING_PX = 0.8
"""Standard deviation of the smoothing before slopes are taken; holds back noise and traces of scaling."""
CONTRAST_PX = 17
"""Side of the window whose range of luma is the contrast of the edge in its middle."""
EDGE_SHARE = 0.03
"""Share of the crops' pixels, those with the steepest slopes, that count as edges."""
MIN_CONTRAST = 10.0
"""Added to each contrast, in levels of 255: faint edges, which may be noise, count as wide."""

MIN_COARSE = 0.5
"""Least contrast, in levels of 255, that fine detail is compared with."""

_LUMA_FIRST = re.compile(r"(yuvj?a?4\d\dp|gray)(\d\dle)?|nv12|nv21")
"""Pixel formats whose first plane holds luma and nothing else, in 8 bits or in the low bits of 16."""


class _Crops(NamedTuple):
    """What is measured of a frame.

    Attributes:
        frame: its index.
        white: largest possible value of luma.
        scaled: crops in the scale of the reference picture.
        native: crops of the source's own pixels.
    """

    frame: int
    white: int
    scaled: list[NativeLuma]
    native: list[NativeLuma]


class SharpnessRecorder(Recorder):
    """Records the sharpness of sampled frames.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "sharpness"
    version = "4"
    clip_columns = ("sharpness", "detail", "median_frequency")

    def __init__(self, time_base: Fraction) -> None:
        self._times = SampleTimes(FRAMES_PER_S, time_base)
        self._reformatter = VideoReformatter()
        self._waiting: list[_Crops] = []
        self._frames = array("q")
        self._values = {name: array("d") for name in self.clip_columns}

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded = pictures.decoded
        if self._times.is_due(decoded.pts):
            luma, white = self._luma(decoded.frame)
            native = [each.copy() for each in _native_crops(luma)]  # the decoder uses its memory again
            self._waiting.append(_Crops(decoded.index, white, _scaled_crops(luma, _pixel_aspect(pictures)), native))
            if len(self._waiting) >= BATCH_FRAMES:
                self._measure_waiting()

    def skip(self, pts: int) -> None:
        """Count its time."""
        self._times.is_due(pts)

    def samples(self) -> Samples:
        """``sharpness``, ``detail`` and ``median_frequency``, each ``[N]``."""
        self._measure_waiting()
        values = {name: np.array(column, np.float32) for name, column in self._values.items()}
        return Samples(np.array(self._frames, np.int64), values)

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """Mean over the sharper half of the frames, for in the others something may have moved; None without any."""
        inside = samples.within(start, end)
        columns = {name: _sorted(inside[name]) for name in cls.clip_columns}
        return {
            name: float(values[len(values) // 2 :].mean()) if len(values) else None for name, values in columns.items()
        }

    def _measure_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for crops in waiting:
            self._frames.append(crops.frame)
            self._values["sharpness"].append(_sharpness(crops.scaled, crops.white))
            self._values["detail"].append(_detail(crops.native, crops.white))
            self._values["median_frequency"].append(median_frequency(crops.native))

    def _luma(self, frame: av.VideoFrame) -> tuple[NativeLuma, int]:
        """The frame's luma, of most formats a view of the decoder's own memory; and its largest possible value."""
        if not _LUMA_FIRST.fullmatch(frame.format.name):
            matrix = Colour.of(frame).matrix  # swscale refuses some that frames tell
            frame = self._reformatter.reformat(
                frame, format="gray", src_colorspace=matrix, dst_colorspace=matrix, threads=1
            )
        plane = frame.planes[0]
        bits = frame.format.components[0].bits
        kind = np.uint8 if bits == 8 else np.uint16
        line = plane.line_size // np.dtype(kind).itemsize
        return np.frombuffer(memoryview(plane), kind)[: line * frame.height].reshape(frame.height, line)[
            :, : frame.width
        ], (1 << bits) - 1


def _sorted(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.sort(values[np.isfinite(values)].astype(np.float64))


def _pixel_aspect(pictures: FramePictures) -> float:
    """Displayed width of a pixel over its height, before rotation: rotated pictures have the same area."""
    size, frame = pictures.displayed_size, pictures.decoded.frame
    return size.width * size.height / (frame.width * frame.height)


def measure_sharpness(luma: NativeLuma, *, white: int = 255, pixel_aspect: float = 1.0) -> float:
    """Widths of a strong edge in the shorter side of the picture; 0 where it has no edges.

    Args:
        luma: of the whole frame, ``[H, W]``; full or limited range, since contrasts and slopes are compared.
        white: its largest possible value.
        pixel_aspect: width of a pixel over its height.
    """
    return _sharpness(_scaled_crops(luma, pixel_aspect), white)


def measure_detail(luma: NativeLuma, *, white: int = 255) -> float:
    """Contrast of what is about a pixel wide, over that of what is twice as wide.

    About 1 to 1.6 where the size is true, 0.65 where it was doubled, more where there is noise; 0 of a flat picture.

    Args:
        luma: of the whole frame, ``[H, W]``.
        white: its largest possible value.
    """
    return _detail(_native_crops(luma), white)


def _scaled_crops(luma: NativeLuma, pixel_aspect: float) -> list[NativeLuma]:
    height, width = luma.shape
    scale = REFERENCE_PX / min(height, width * pixel_aspect)
    whole = Size(max(3, round(width * pixel_aspect * scale)), max(3, round(height * scale)))
    columns, rows = (
        max(1, min(round(wanted / TILE_PX), there // MIN_TILE_PX))
        for wanted, there in ((whole.width, width), (whole.height, height))
    )
    size = Size(max(3, round(whole.width / columns)), max(3, round(whole.height / rows)))
    return [_scaled(crop, size) for crop in _most_textured(luma, rows, columns)]


def _native_crops(luma: NativeLuma) -> list[NativeLuma]:
    rows, columns = (max(1, min(round(side / TILE_PX), side // MIN_TILE_PX)) for side in luma.shape)
    return _most_textured(luma, rows, columns)


def _sharpness(crops: list[NativeLuma], white: int) -> float:
    tiles = [crop.astype(np.float32) * np.float32(255 / white) for crop in crops]
    slopes, contrasts = (np.concatenate(parts) for parts in zip(*map(_edges, tiles), strict=True))
    count = max(1, round(EDGE_SHARE * len(slopes)))
    steepest = np.argpartition(slopes, -count)[-count:]
    return REFERENCE_PX * float(np.median(slopes[steepest] / (contrasts[steepest] + MIN_CONTRAST)))


def _detail(crops: list[NativeLuma], white: int) -> float:
    fine = coarse = 0.0
    for crop in crops:
        tile = crop.astype(np.float32) * np.float32(255 / white)
        once, twice = (cv2.GaussianBlur(tile, (0, 0), sigma) for sigma in (1, 2))
        fine += _deviation(tile - once)
        coarse += _deviation(once - twice)
    return fine / max(coarse, MIN_COARSE)


def _deviation(values: NDArray[Any]) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0])  # in half of the time that std() takes


def _most_textured(luma: NativeLuma, rows: int, columns: int) -> list[NativeLuma]:
    """Of the crops of a grid, those with the steepest slopes in a small picture: views of the luma."""
    small = cv2.resize(luma, (columns * SEARCH_PX, rows * SEARCH_PX), interpolation=cv2.INTER_LINEAR)
    values = cv2.blur(small, (3, 3)).astype(np.float32)
    gx, gy = (cv2.Sobel(values, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    energy = cv2.resize(gx * gx + gy * gy, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
    places = np.argsort(-energy, kind="stable")[:NUM_TILES].tolist()
    return [_crop(luma, divmod(place, columns), (rows, columns)) for place in places]


def _crop(luma: NativeLuma, place: tuple[int, int], grid: tuple[int, int]) -> NativeLuma:
    """The crop at row and column of a grid of rows and columns."""
    (top, bottom), (left, right) = (
        (side * number // count, side * (number + 1) // count)
        for side, number, count in zip(luma.shape, place, grid, strict=True)
    )
    return luma[top:bottom, left:right]


def _scaled(crop: NativeLuma, size: Size) -> NativeLuma:
    method = cv2.INTER_AREA if size.width < crop.shape[1] else cv2.INTER_CUBIC
    return cast(NativeLuma, cv2.resize(crop, (size.width, size.height), interpolation=method))


def _edges(tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and contrast at every other pixel of every other line, ``[N]``."""
    smooth = cv2.GaussianBlur(tile, (0, 0), SMOOTHING_PX)
    window = np.ones((CONTRAST_PX, CONTRAST_PX), np.uint8)
    contrast = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, window)[::2, ::2]
    gx, gy = (np.zeros(contrast.shape, np.float32) for _ in range(2))
    # Differences of the pixels on both sides; none at the border, where the picture is mirrored.
    beside, above = smooth[::2, 1::2], smooth[1::2, ::2]
    np.subtract(beside[:, 1:], beside[:, :-1], out=gx[:, 1 : beside.shape[1]])
    np.subtract(above[1:], above[:-1], out=gy[1 : above.shape[0]])
    slope = np.sqrt(gx * gx + gy * gy) * np.float32(0.5)
    return slope.ravel(), contrast.ravel().astype(np.float32)
