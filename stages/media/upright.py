"""Decoded frames as pictures: upright, scaled, in the RGB or luma of an SDR display."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stages.media.colour import Colour
from stages.media.orientation import Orientation
from stages.media.tone_mapping import Light, ToneMapping
from stages.tasks import Size


def displayed_size(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Size:
    """Width and height as displayed: the pixel aspect is applied to the width, then the orientation."""
    width = max(1, round(frame.width * (pixel_aspect or 1)))
    return Size(frame.height, width) if Orientation.of(frame).transpose else Size(width, frame.height)


def fit(size: Size, max_px: int) -> Size:
    """The size scaled down, never up, to at most `max_px` on its longest side."""
    longest = max(size.width, size.height)
    if longest <= max_px:
        return size
    return Size(max(1, round(size.width * max_px / longest)), max(1, round(size.height * max_px / longest)))


class UprightScaler:
    """Scales frames to one size and lays them upright. Reuses its swscale context; not thread-safe.

    Args:
        size: of the result, as displayed.
        pixel_format: 8 bit whatever the source's depth: ``"bgr24"`` is exact within a level, ``"rgb24"`` is as FFmpeg
            itself makes it, up to 3 levels wrong for saturated 4:2:0; ``"gray"`` is luma as it is coded.
        peak_nits: of HDR, which is tone-mapped to RGB, see `tone_mapping`; None for each picture's own.
        by_area: each pixel is the mean of those that it covers, which is softer, and takes a third of the time.
    """

    def __init__(
        self, size: Size, *, pixel_format: str = "rgb24", peak_nits: float | None = None, by_area: bool = False
    ) -> None:
        self._size = size
        self._format = pixel_format
        self._peak_nits = peak_nits
        self._interpolation = Interpolation.AREA if by_area else Interpolation.BICUBIC
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, pixels: av.VideoFrame | None = None) -> NDArray[np.uint8]:
        """The scaled frame: uint8 ``[H, W, 3]``, or ``[H, W]`` for gray.

        Args:
            frame: whose colour and orientation hold.
            pixels: that are scaled, see `reduced_frame`; None for the frame's own.
        """
        colour, orientation = Colour.of(frame), Orientation.of(frame)
        source = _Source(frame if pixels is None else pixels, colour, is_transposed=orientation.transpose)
        is_for_swscale = colour.matrix is None or (self._format == "rgb24" and not colour.is_ycgco)
        if self._format == "gray" or (colour.is_bt709 and is_for_swscale):
            picture = self._scale(source, self._format, ColorRange.JPEG)
        else:
            picture = self._rgb(source)
            picture = picture[..., ::-1] if self._format == "bgr24" else picture
        # OpenCV refuses rows with padding, which swscale adds for some widths.
        return np.ascontiguousarray(orientation.apply(picture))

    def light(self, frame: av.VideoFrame) -> Light:
        """The light of a frame of HDR, not upright: float32 ``[H, W, 3]``, see `ToneMapping.light`."""
        colour = Colour.of(frame)
        source = _Source(frame, colour, is_transposed=Orientation.of(frame).transpose)
        return ToneMapping.of(colour).light(self._scale_deep(source))

    def _rgb(self, source: "_Source") -> NDArray[np.uint8]:
        """RGB of 8 bit, full range, of an SDR display."""
        colour = source.colour
        if colour.is_bt709:
            return colour.to_rgb(self._scale(source, "yuv444p", colour.color_range))
        return ToneMapping.of(colour).to_sdr(self._scale_deep(source), peak_nits=self._peak_nits)

    def _scale_deep(self, source: "_Source") -> NDArray[np.uint16]:
        """RGB of 16 bit, full range."""
        colour = source.colour
        if colour.matrix is None:
            return self._scale(source, "rgb48le", ColorRange.JPEG)
        return colour.to_rgb(self._scale(source, "yuv444p16le", colour.color_range))

    def _scale(self, source: "_Source", pixel_format: str, color_range: ColorRange) -> NDArray[Any]:
        width, height = self._size.width, self._size.height
        if source.is_transposed:
            width, height = height, width
        colour = source.colour
        scaled = self._reformatter.reformat(
            source.pixels,
            width,
            height,
            pixel_format,
            src_colorspace=colour.matrix,
            dst_colorspace=colour.matrix,  # of YUV; else swscale would convert an assumed matrix to another one
            src_color_range=colour.color_range,
            dst_color_range=color_range,
            interpolation=self._interpolation,
            threads=1,  # the default starts a pool of swscale threads for each context
        )
        picture: NDArray[Any] = scaled.to_ndarray()
        return np.ascontiguousarray(picture.transpose(1, 2, 0)) if pixel_format == "yuv444p" else picture


@dataclass(frozen=True, slots=True)
class _Source:
    pixels: av.VideoFrame
    colour: Colour
    is_transposed: bool


def upright(frame: av.VideoFrame, size: Size) -> NDArray[np.uint8]:
    """The frame upright and scaled: uint8 ``[H, W, 3]`` RGB."""
    return UprightScaler(size, pixel_format="bgr24")(frame)[..., ::-1]
