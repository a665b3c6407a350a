"""Small pictures of a frame, each made once, whichever measures look at it."""

from functools import cached_property

import av
import numpy as np
from numpy.typing import NDArray

from stages.media import DecodedFrame, UprightScaler, displayed_size, fit, reduced_frame
from stages.tasks import Size


class FrameScaler:
    """Makes `FramePictures` of a video's frames. Keeps the scaler of each size; not thread-safe."""

    def __init__(self) -> None:
        self._scalers: dict[tuple[Size, str, bool], UprightScaler] = {}
        self._shape: tuple[object, ...] | None = None
        self._displayed_size = Size(0, 0)

    def __call__(self, decoded: DecodedFrame) -> "FramePictures":
        """The pictures of a frame; nothing is scaled before it is asked for."""
        return FramePictures(decoded, self)

    def displayed_size(self, decoded: DecodedFrame) -> Size:
        """Width and height of a frame as displayed."""
        frame = decoded.frame
        # Nearly all frames have the shape of the one before; comparing costs less than the arithmetic of fractions.
        shape = (frame.width, frame.height, frame.rotation, decoded.pixel_aspect)
        if shape != self._shape:
            self._shape, self._displayed_size = shape, displayed_size(frame, decoded.pixel_aspect)
        return self._displayed_size

    def scale(
        self, pictures: "FramePictures", size: Size, pixel_format: str, *, by_area: bool = False
    ) -> NDArray[np.uint8]:
        """The frame upright, in this size and format."""
        key = (size, pixel_format, by_area)
        scaler = self._scalers.get(key)
        if scaler is None:
            scaler = self._scalers[key] = UprightScaler(size, pixel_format=pixel_format, by_area=by_area)
        return scaler(pictures.decoded.frame, pictures.reduced)


class FramePictures:
    """A frame at small sizes, upright. It holds the decoded frame: keep it no longer than the next few frames.

    Attributes:
        decoded: the frame.
        displayed_size: its width and height as displayed.
    """

    def __init__(self, decoded: DecodedFrame, scaler: FrameScaler) -> None:
        self.decoded = decoded
        self.displayed_size = scaler.displayed_size(decoded)
        self._scaler = scaler
        self._luma: dict[tuple[Size, bool], NDArray[np.uint8]] = {}

    @cached_property
    def reduced(self) -> av.VideoFrame:
        """See `reduced_frame`."""
        return reduced_frame(self.decoded.frame)

    def luma(self, max_px: int, *, min_px: int = 1, by_area: bool = False) -> NDArray[np.uint8]:
        """Luma, uint8 ``[H, W]``: scaled down to at most `max_px` on the longest side, then up to at least `min_px`.

        Args:
            max_px: the longest side, at most.
            min_px: each side, at least.
            by_area: scale in the cheaper way, see `UprightScaler`.
        """
        small = fit(self.displayed_size, max_px)
        size = Size(max(min_px, small.width), max(min_px, small.height))
        if (size, by_area) not in self._luma:
            self._luma[size, by_area] = self._scaler.scale(self, size, "gray", by_area=by_area)
        return self._luma[size, by_area]
