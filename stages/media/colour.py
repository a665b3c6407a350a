"""What the numbers of a decoded picture mean: matrix, range, transfer and primaries, assumed where nothing tells."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

_Levels = TypeVar("_Levels", np.uint8, np.uint16)

HDR_TRANSFERS = frozenset({int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67)})
"""PQ and HLG."""
WIDE_PRIMARIES = frozenset({int(ColorPrimaries.BT2020), int(ColorPrimaries.SMPTE432)})
"""BT.2020 and Display P3, whose colours differ visibly from those of BT.709. Those of BT.601 do not."""

HD_WIDTH_PX, SD_HEIGHT_PX = 1280, 576
"""Of an untagged picture: BT.709 from this width on, or above this height; else BT.601. The rule of mpv, and with other
limits of most players; the ffmpeg command takes BT.601 for all."""

_RGB, _YCGCO, _BT2020_CL = 0, 8, 10
"""Of FFmpeg's AVColorSpace."""
SCALER_MATRICES = {
    1: int(Colorspace.ITU709),
    4: int(Colorspace.FCC),
    5: int(Colorspace.ITU601),
    6: int(Colorspace.ITU601),
    7: int(Colorspace.SMPTE240M),
    9: int(Colorspace.BT2020),
    _BT2020_CL: int(Colorspace.BT2020),  # swscale has no constant luminance
}
"""swscale's matrix by AVColorSpace."""
_RED_AND_BLUE_WEIGHTS = {
    Colorspace.ITU709: (0.2126, 0.0722),
    Colorspace.FCC: (0.3, 0.11),
    Colorspace.ITU601: (0.299, 0.114),
    Colorspace.SMPTE240M: (0.212, 0.087),
    Colorspace.BT2020: (0.2627, 0.0593),
}
"""Shares of red and blue in luma."""
_YCGCO_TO_RGB = np.array([[1, -1, 1], [1, 1, 0], [1, -1, -1]])


@dataclass(frozen=True, slots=True)
class Colour:
    """The meaning of a picture's numbers.

    Attributes:
        matrix: swscale's number of the matrix between RGB and YUV; None for RGB.
        color_range: MPEG (limited) or JPEG (full).
        transfer: as `ColorTrc`; unspecified where nothing tells.
        primaries: as `ColorPrimaries`; unspecified where nothing tells.
        is_ycgco: YCgCo, which swscale lacks: `matrix` then only says that nothing is to be converted, `to_rgb` does it.
    """

    matrix: int | None
    color_range: ColorRange
    transfer: int
    primaries: int
    is_ycgco: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colour":
        """What the frame's tags say, and where they say nothing, what players assume."""
        tags = (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries)
        return _colour_of(_Tags(*tags, frame.format.name, frame.width, frame.height))

    @property
    def is_hdr(self) -> bool:
        """The transfer is PQ or HLG."""
        return self.transfer in HDR_TRANSFERS

    @property
    def is_bt709(self) -> bool:
        """Numbers of RGB can be shown as they are on an SDR display of BT.709."""
        return not self.is_hdr and self.has_usual_primaries

    @property
    def has_usual_primaries(self) -> bool:
        """Primaries are none that differ visibly from those of BT.709."""
        return self.primaries not in WIDE_PRIMARIES

    def to_rgb(self, picture: NDArray[_Levels]) -> NDArray[_Levels]:
        """RGB of full range of YUV 4:4:4 in this matrix and range, both ``[H, W, 3]``, uint8 or uint16.

        Raises:
            ValueError: `matrix` is None.
        """
        if self.matrix is None:
            raise ValueError("matrix must be known, got None.")
        top, unit = np.iinfo(picture.dtype).max, 1 << (8 * picture.itemsize - 8)
        is_full = self.color_range == ColorRange.JPEG
        black, luma, chroma = (0, top, top) if is_full else (16 * unit, 219 * unit, 224 * unit)
        matrix = _YCGCO_TO_RGB if self.is_ycgco else _to_rgb_matrix(*_RED_AND_BLUE_WEIGHTS[Colorspace(self.matrix)])
        scale, offset = np.array([top / luma, top / chroma, top / chroma]), np.array([black, 128 * unit, 128 * unit])
        affine = np.column_stack([matrix * scale, -matrix @ (scale * offset)]).astype(np.float32)
        return cast(NDArray[_Levels], cv2.transform(picture, affine))  # saturates


def _to_rgb_matrix(red: float, blue: float) -> NDArray[np.float64]:
    """From luma and chroma, the latter -0.5 to 0.5, to RGB, by the shares of red and blue in luma."""
    green = 1 - red - blue
    return np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )


class _Tags(NamedTuple):
    colorspace: int
    color_range: int
    transfer: int
    primaries: int
    format_name: str
    width: int
    height: int


@lru_cache(maxsize=256)
def _colour_of(tags: _Tags) -> Colour:
    # Asked for by each measure of each frame, and hardly ever another than before.
    is_rgb = av.VideoFormat(tags.format_name).is_rgb
    return Colour(
        None if is_rgb else _matrix(tags),
        _range(tags, is_rgb=is_rgb),
        int(tags.transfer),
        int(tags.primaries),
        tags.colorspace == _YCGCO and not is_rgb,
    )


def _matrix(tags: _Tags) -> int | None:
    if tags.colorspace == _RGB:
        return None
    if tags.colorspace == _YCGCO:
        return int(Colorspace.ITU709)
    if tags.colorspace in SCALER_MATRICES:
        return SCALER_MATRICES[tags.colorspace]
    if tags.transfer in HDR_TRANSFERS or tags.primaries == ColorPrimaries.BT2020:
        return int(Colorspace.BT2020)
    is_hd = tags.width >= HD_WIDTH_PX or tags.height > SD_HEIGHT_PX
    return int(Colorspace.ITU709 if is_hd else Colorspace.ITU601)


def _range(tags: _Tags, *, is_rgb: bool) -> ColorRange:
    if tags.color_range in (ColorRange.MPEG, ColorRange.JPEG):
        return ColorRange(tags.color_range)
    is_full = is_rgb or tags.format_name.startswith(("yuvj", "gray", "pal"))
    return ColorRange.JPEG if is_full else ColorRange.MPEG
