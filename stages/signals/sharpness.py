"""Sharpness of a frame: how narrow its strongest edges are, measured on crops of the source's own pixels.

The width of an edge is its contrast over its steepest slope. Sharpness is how many such widths the picture's shorter
side has. Edges are measured at the scale of a picture of `REFERENCE_PX`: one scene scores the same in any size from
there on, and an enlarged picture scores no more than the one that it was enlarged from.

Detail tells whether the picture's size is true: how much its finest scale holds, by what the next one holds.
"""

import re
from array import array
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stages.media import Colour
from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.sample_times import SampleTimes
from stages.signals.samples import Samples
from stages.tasks import Row, Size

NativeLuma = NDArray[np.unsignedinteger[Any]]

FRAMES_PER_S = 1.5

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


class SharpnessRecorder(Recorder):
    """Records the sharpness of sampled frames.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "sharpness"
    version = "2"
    clip_columns = ("sharpness", "detail")

    def __init__(self, time_base: Fraction) -> None:
        self._times = SampleTimes(FRAMES_PER_S, time_base)
        self._reformatter = VideoReformatter()
        self._frames = array("q")
        self._values = {name: array("d") for name in self.clip_columns}

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded = pictures.decoded
        if self._times.is_due(decoded.pts):
            self._frames.append(decoded.index)
            luma, white = self._luma(decoded.frame)
            aspect = _pixel_aspect(pictures)
            self._values["sharpness"].append(measure_sharpness(luma, white=white, pixel_aspect=aspect))
            self._values["detail"].append(measure_detail(luma, white=white))

    def samples(self) -> Samples:
        """``sharpness`` and ``detail``, both ``[N]``."""
        values = {name: np.array(column, np.float32) for name, column in self._values.items()}
        return Samples(np.array(self._frames, np.int64), values)

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """Mean over the sharper half of the frames, for in the others something may have moved; None without any."""
        inside = samples.within(start, end)
        columns = {name: np.sort(inside[name].astype(np.float64)) for name in cls.clip_columns}
        return {
            name: float(values[len(values) // 2 :].mean()) if len(values) else None for name, values in columns.items()
        }

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
    height, width = luma.shape
    scale = REFERENCE_PX / min(height, width * pixel_aspect)
    whole = Size(max(3, round(width * pixel_aspect * scale)), max(3, round(height * scale)))
    columns, rows = (
        max(1, min(round(wanted / TILE_PX), there // MIN_TILE_PX))
        for wanted, there in ((whole.width, width), (whole.height, height))
    )
    places = _most_textured(luma, rows, columns)
    tiles = [_crop(luma, divmod(place, columns), (rows, columns), whole) * np.float32(255 / white) for place in places]
    slopes, contrasts = (np.concatenate(parts) for parts in zip(*map(_edges, tiles), strict=True))
    count = max(1, round(EDGE_SHARE * len(slopes)))
    steepest = np.argpartition(slopes, -count)[-count:]
    return REFERENCE_PX * float(np.median(slopes[steepest] / (contrasts[steepest] + MIN_CONTRAST)))


def measure_detail(luma: NativeLuma, *, white: int = 255) -> float:
    """Contrast of what is about a pixel wide, over that of what is twice as wide.

    About 1 to 1.6 where the size is true, 0.65 where it was doubled, more where there is noise; 0 of a flat picture.

    Args:
        luma: of the whole frame, ``[H, W]``.
        white: its largest possible value.
    """
    rows, columns = (max(1, min(round(side / TILE_PX), side // MIN_TILE_PX)) for side in luma.shape)
    fine = coarse = 0.0
    for place in _most_textured(luma, rows, columns):
        row, column = divmod(place, columns)
        top, bottom = luma.shape[0] * row // rows, luma.shape[0] * (row + 1) // rows
        left, right = luma.shape[1] * column // columns, luma.shape[1] * (column + 1) // columns
        tile = luma[top:bottom, left:right].astype(np.float32) * np.float32(255 / white)
        once, twice = (cv2.GaussianBlur(tile, (0, 0), sigma) for sigma in (1, 2))
        fine += float((tile - once).std())
        coarse += float((once - twice).std())
    return fine / max(coarse, MIN_COARSE)


def _most_textured(luma: NativeLuma, rows: int, columns: int) -> list[int]:
    """Numbers of the crops with the steepest slopes in a small picture, row by row."""
    small = cv2.resize(luma, (columns * SEARCH_PX, rows * SEARCH_PX), interpolation=cv2.INTER_LINEAR)
    values = cv2.blur(small, (3, 3)).astype(np.float32)
    gx, gy = (cv2.Sobel(values, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    energy = cv2.resize(gx * gx + gy * gy, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
    return np.argsort(-energy, kind="stable")[:NUM_TILES].tolist()


def _crop(luma: NativeLuma, place: tuple[int, int], grid: tuple[int, int], whole: Size) -> NDArray[np.float32]:
    """The crop at row and column of a grid of rows and columns, in the scale of the reference picture."""
    (top, bottom), (left, right) = (
        (side * number // count, side * (number + 1) // count)
        for side, number, count in zip(luma.shape, place, grid, strict=True)
    )
    size = (max(3, round(whole.width / grid[1])), max(3, round(whole.height / grid[0])))
    method = cv2.INTER_AREA if size[0] < right - left else cv2.INTER_CUBIC
    return cv2.resize(luma[top:bottom, left:right], size, interpolation=method).astype(np.float32)


def _edges(tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and contrast at every other pixel of every other line, ``[N]``."""
    smooth = cv2.GaussianBlur(tile, (0, 0), SMOOTHING_PX)
    gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1)))
    window = np.ones((CONTRAST_PX, CONTRAST_PX), np.uint8)
    contrast = cv2.dilate(smooth, window) - cv2.erode(smooth, window)
    slope = np.hypot(gx[::2, ::2], gy[::2, ::2])
    return slope.ravel().astype(np.float32), contrast[::2, ::2].ravel().astype(np.float32)
