"""Decoded frames as an encoder takes them: upright, 4:2:0, of even width and height, in one colour."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Self

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stages.media.colour import SCALER_MATRICES, Colour
from stages.media.orientation import Orientation
from stages.media.tone_mapping import USUAL_PEAK_NITS
from stages.media.upright import UprightScaler, displayed_size
from stages.tasks import Size

TargetSize = tuple[int | None, int | None]
"""Width and height that are wanted, in square pixels."""


class KeptPart(NamedTuple):
    """What is cut off at each side, in shares of width and height as displayed."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


class Corner(NamedTuple):
    """Pixels to the left of a part of a picture, and above it."""

    left: int
    top: int


SDR_FORMAT = "yuv420p"
HDR_FORMAT = "yuv420p10le"
_INTERPOLATION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


@dataclass(frozen=True, slots=True)
class EncodedColour:
    """Format and tags of encoded pictures, all of limited range.

    Attributes:
        pixel_format: of FFmpeg.
        colorspace: as FFmpeg's AVColorSpace.
        primaries: as `ColorPrimaries`.
        transfer: as `ColorTrc`.
    """

    pixel_format: str
    colorspace: int
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: av.VideoFrame, *, keeps_hdr: bool) -> Self:
        """Of pictures like this one. YUV keeps its matrix, RGB and tone-mapped HDR get that of BT.709.

        A matrix that was assumed for want of a tag is written as one, so that no player has to assume it again.
        """
        colour = Colour.of(frame)
        if colour.is_hdr and not keeps_hdr:
            return cls(SDR_FORMAT, Colorspace.ITU709, ColorPrimaries.BT709, ColorTrc.BT709)
        primaries, transfer = colour.primaries, colour.transfer
        if colour.matrix is None or colour.is_ycgco:
            primaries = ColorPrimaries.BT709 if primaries == ColorPrimaries.UNSPECIFIED else primaries
            transfer = ColorTrc.BT709 if transfer == ColorTrc.UNSPECIFIED else transfer
        matrix = Colorspace.ITU709 if colour.matrix is None else colour.matrix  # YCgCo's is BT.709 too
        colorspace = frame.colorspace if frame.colorspace in SCALER_MATRICES else int(matrix)
        return cls(HDR_FORMAT if colour.is_hdr else SDR_FORMAT, colorspace, primaries, transfer)


class EncoderPictures:
    """Makes pictures for an encoder of the frames of one stream. Not thread-safe.

    Args:
        first: a frame of the stream; its size and colour are those of all.
        pixel_aspect: of the stream, width by height.
        kept: the part of the picture as displayed that is encoded, in shares of its width and height; None for all.
        target: width and height that are wanted, each None where it follows from the other; with both None, those of
            the stream.
        keeps_hdr: HDR stays HDR, of 10 bit.
        peak_nits: of HDR that is tone-mapped, see `tone_mapping`; None where it was not measured.

    Attributes:
        size: of the pictures. Where none is wanted, an odd side is scaled up by one pixel, so that none is cropped.
        pixel_aspect: of the pictures, width by height.
        colour: of the pictures.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        pixel_aspect: Fraction,
        *,
        kept: KeptPart | None = None,
        target: TargetSize = (None, None),
        keeps_hdr: bool,
        peak_nits: float | None,
    ) -> None:
        self._scaled, self._corner, self.size = _layout(first, pixel_aspect, kept or KeptPart(), target)
        turned_aspect = 1 / pixel_aspect if Orientation.of(first).transpose else pixel_aspect
        self.pixel_aspect = turned_aspect if target == (None, None) else Fraction(1)
        self.colour = EncodedColour.of(first, keeps_hdr=keeps_hdr)
        self._keeps_hdr = keeps_hdr
        self._tone_mapper = UprightScaler(self._scaled, peak_nits=peak_nits or USUAL_PEAK_NITS)
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The picture of a frame."""
        colour, orientation = Colour.of(frame), Orientation.of(frame)
        if colour.is_ycgco or (colour.is_hdr and not self._keeps_hdr):
            frame = av.VideoFrame.from_ndarray(self._tone_mapper(frame), format="rgb24")
            colour, orientation = Colour.of(frame), Orientation()
        width, height = self._scaled.width, self._scaled.height
        if orientation.transpose:
            width, height = height, width
        # swscale makes chroma half a level too large where it converts the range of 8 bit.
        is_full = colour.color_range == ColorRange.JPEG and colour.matrix is not None
        converts_range = is_full and self.colour.pixel_format == SDR_FORMAT
        scaled = self._reformatter.reformat(
            frame,
            width,
            height,
            self.colour.pixel_format,
            src_colorspace=colour.matrix,
            dst_colorspace=SCALER_MATRICES[self.colour.colorspace],
            src_color_range=colour.color_range,
            dst_color_range=ColorRange.JPEG if converts_range else ColorRange.MPEG,
            interpolation=_INTERPOLATION,
            threads=1,
        )
        if orientation == Orientation() and not converts_range and self._scaled == self.size:
            return scaled
        planes = _planes(scaled)
        if converts_range:
            planes = [cv2.LUT(plane, table) for plane, table in zip(planes, (_LUMA, _CHROMA, _CHROMA), strict=True)]
        upright = [orientation.apply(plane) for plane in planes]
        return _joined(_part(upright, self._corner, self.size), self.colour.pixel_format)


def _layout(
    first: av.VideoFrame, pixel_aspect: Fraction, kept: KeptPart, target: TargetSize
) -> tuple[Size, Corner, Size]:
    """Size to scale the whole picture to, and corner and size of the part of it that is encoded; all even."""
    if target == (None, None):
        width, height = first.width + first.width % 2, first.height + first.height % 2
        scaled = Size(height, width) if Orientation.of(first).transpose else Size(width, height)
        left, right = (_even_inside(share * scaled.width) for share in (kept.left, kept.right))
        top, bottom = (_even_inside(share * scaled.height) for share in (kept.top, kept.bottom))
        size = Size(max(2, scaled.width - left - right), max(2, scaled.height - top - bottom))
        return scaled, Corner(min(left, scaled.width - 2), min(top, scaled.height - 2)), size
    shown = displayed_size(first, pixel_aspect)
    inner_width, inner_height = (
        shown.width * (1 - kept.left - kept.right),
        shown.height * (1 - kept.top - kept.bottom),
    )
    width, height = target
    scale = max(side / own for side, own in ((width, inner_width), (height, inner_height)) if side)
    scaled = Size(*(max(2, 2 * round(own * scale / 2)) for own in (shown.width, shown.height)))
    size = Size(width or 2 * round(inner_width * scale / 2), height or 2 * round(inner_height * scale / 2))
    middle_x = scaled.width * (1 + kept.left - kept.right) / 2
    middle_y = scaled.height * (1 + kept.top - kept.bottom) / 2
    left, top = (
        min(max(0, 2 * round((middle - side / 2) / 2)), whole - side)
        for middle, side, whole in (
            (middle_x, size.width, scaled.width),
            (middle_y, size.height, scaled.height),
        )
    )
    return scaled, Corner(left, top), size


def _even_inside(pixels: float) -> int:
    """An even number of pixels to cut off, not fewer than these."""
    return 2 * math.ceil(pixels / 2)


def _part(planes: list[NDArray[Any]], corner: "Corner", size: Size) -> list[NDArray[Any]]:
    """A part of luma and chroma; corner and size are even."""
    return [
        plane[corner.top // step : (corner.top + size.height) // step, corner.left // step :][:, : size.width // step]
        for plane, step in zip(planes, (1, 2, 2), strict=True)
    ]


_LEVELS = np.arange(256)
_LUMA = np.rint(16 + _LEVELS * 219 / 255).astype(np.uint8)
_CHROMA = np.rint(128 + (_LEVELS - 128) * 224 / 255).astype(np.uint8)
"""Levels of limited range by those of full range."""


def _planes(frame: av.VideoFrame) -> list[NDArray[Any]]:
    """Luma and chroma of a 4:2:0 frame."""
    packed: NDArray[Any] = frame.to_ndarray()
    width, height = frame.width, frame.height
    return [packed[:height], *packed[height:].reshape(2, height // 2, width // 2)]


def _joined(planes: list[NDArray[Any]], pixel_format: str) -> av.VideoFrame:
    joined = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, planes[0].shape[1])
    return av.VideoFrame.from_ndarray(joined, format=pixel_format)
