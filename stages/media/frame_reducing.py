"""Large frames at a half, a quarter, an eighth of their size: what small pictures are made of.

Scaling a frame of 2160 lines to 27 takes swscale most of the time that decoding it takes, for each of its pixels is
weighed in each of several lines. Means of 2 x 2 pixels take a twelfth of that. What is left is still several times as
large as the pictures that are made of it, which hence differ by a fraction of a level.
"""

import functools
import math
import re
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

MIN_LONG_SIDE_PX = 400
"""That is left at least."""

_PLANAR = re.compile(r"yuvj?4(20|22|40|44)p(\d+le)?|gray(\d+le)?")
"""Pixel formats that are reduced: luma and any chroma in planes of their own, in 8 bits or in the low bits of 16."""


def reduced_frame(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame in the smallest such size in which all planes have whole pixels; itself where there is none.

    It has neither colour tags nor a display matrix: those of the frame hold.
    """
    steps = _num_steps(frame.width, frame.height, frame.format.name)
    if not steps:
        return frame
    reduced = av.VideoFrame(frame.width >> steps, frame.height >> steps, frame.format.name)
    for number in range(len(frame.planes)):
        _reduce(_plane(frame, number), _plane(reduced, number))
    return reduced


@functools.lru_cache(maxsize=64)
def _num_steps(width: int, height: int, format_name: str) -> int:
    """How often the sides of all planes can be halved."""
    steps = max(0, int(math.log2(max(width, height) / MIN_LONG_SIDE_PX)))
    if not steps or not _PLANAR.fullmatch(format_name):
        return 0
    pixel_format = av.VideoFormat(format_name, width, height)
    planes = (width, height, pixel_format.chroma_width(), pixel_format.chroma_height())
    while any(side % (1 << steps) for side in planes):
        steps -= 1
    return steps


def _plane(frame: av.VideoFrame, number: int) -> NDArray[Any]:
    """A plane as a view of the frame's own memory, ``[H, W]``."""
    plane: Any = frame.planes[number]
    kind = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    line = plane.line_size // np.dtype(kind).itemsize
    return np.frombuffer(memoryview(plane), kind)[: line * plane.height].reshape(-1, line)[:, : plane.width]


def _reduce(values: NDArray[Any], result: NDArray[Any]) -> None:
    """Fill the result with means, in steps of a half."""
    height, width = result.shape
    while values.shape[0] > 2 * height:
        half = (values.shape[1] // 2, values.shape[0] // 2)
        values = np.asarray(cv2.resize(values, half, interpolation=cv2.INTER_AREA))
    cv2.resize(values, (width, height), dst=result, interpolation=cv2.INTER_AREA)
