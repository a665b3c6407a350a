"""Whether the two fields of a frame show one moment or two, measured on the frame and its neighbours in time.

The lines of one field are compared with the lines between them, once of the same frame and once of a neighbour. Where
something moves, lines differ the more, the further their moments lie apart, here in frames:

    lines between                                   progressive   top field first   bottom field first
    of the same frame                                    0              1/2                1/2
    bottom field before, or top field after              1              1/2                3/2
    top field before, or bottom field after              1              3/2                1/2

So the gain, the second or third row less the first, is alike for both rows of a progressive frame, and nothing for one
of them where fields show two moments. What stands still, and noise, is the same in all rows.
"""

from enum import IntEnum
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stages.media.colour import Colour
from stages.media.decode import DecodedFrame

SAMPLES = 25_000
"""Pixels that are looked at: of every line as many, evenly spaced."""
GAIN_MIN = 0.3
"""Mean gain, in levels of 8 bit, below which too little moves."""
INTERLACED_RATIO_MAX = 0.7
"""Interlaced: the smaller gain is at most this share of the larger."""
PROGRESSIVE_RATIO_MIN = 0.8
"""Progressive: the smaller gain is at least this share of the larger."""

INTERLACED_SHARE_MIN = 0.25
"""Share of frames with fields of two moments from which on a clip is interlaced."""


class Fields(IntEnum):
    """What the fields of a frame show."""

    UNKNOWN = -1
    """Too little moves."""
    PROGRESSIVE = 0
    """One moment."""
    TOP_FIRST = 1
    """Two moments, that of the first line first."""
    BOTTOM_FIRST = 2
    """Two moments, that of the second line first."""

    @property
    def is_interlaced(self) -> bool:
        """The fields show two moments."""
        return self > 0


def to_deinterlace(interlaced_share: float | None, field_order: str | None) -> Fields | None:
    """The order of the fields of a clip to deinterlace, by its columns; None for a progressive clip."""
    if interlaced_share is None or interlaced_share < INTERLACED_SHARE_MIN:
        return None
    return {"top": Fields.TOP_FIRST, "bottom": Fields.BOTTOM_FIRST}.get(field_order or "", Fields.UNKNOWN)


def measure_fields(before: av.VideoFrame, frame: av.VideoFrame, after: av.VideoFrame) -> Fields:
    """What the fields of a frame show, by the frames directly before and after it in presentation order."""
    sizes = {(each.width, each.height) for each in (before, frame, after)}
    if len(sizes) > 1 or frame.height < 4:
        return Fields.UNKNOWN
    lines = _sampled_luma(frame)
    around, inner = lines[:-2] + lines[2:], slice(1, -1)
    own = np.abs(around - 2 * lines[inner])
    gain_before = np.abs(around - 2 * _sampled_luma(before)[inner]) - own
    gain_after = np.abs(around - 2 * _sampled_luma(after)[inner]) - own
    # The first of these lines is the second of the picture, hence of the bottom field.
    near_if_top_first = (_mean(gain_before[0::2]) + _mean(gain_after[1::2])) / 2
    near_if_bottom_first = (_mean(gain_before[1::2]) + _mean(gain_after[0::2])) / 2
    smaller, larger = sorted((near_if_top_first, near_if_bottom_first))
    if larger < GAIN_MIN:
        return Fields.UNKNOWN
    if smaller >= PROGRESSIVE_RATIO_MIN * larger:
        return Fields.PROGRESSIVE
    if smaller > INTERLACED_RATIO_MAX * larger:
        return Fields.UNKNOWN
    return Fields.TOP_FIRST if near_if_top_first < near_if_bottom_first else Fields.BOTTOM_FIRST


def _mean(gain: NDArray[np.int16]) -> float:
    # Three times as fast as mean(), which converts to float64.
    return int(gain.sum(dtype=np.int32)) / gain.size


class FieldsMeter:
    """Measures the fields of the frames of one stream. The last result is kept for others that ask for it."""

    def __init__(self) -> None:
        self._index = -1
        self._fields = Fields.UNKNOWN

    def __call__(self, before: DecodedFrame, decoded: DecodedFrame, after: DecodedFrame) -> Fields:
        """What the fields of a frame show, by its neighbours."""
        if decoded.index != self._index:
            self._index, self._fields = decoded.index, measure_fields(before.frame, decoded.frame, after.frame)
        return self._fields


def _sampled_luma(frame: av.VideoFrame) -> NDArray[np.int16]:
    """Luma of some columns, as levels of 8 bit, ``[H, N]``."""
    picture_format = frame.format
    bits = picture_format.components[0].bits
    if not picture_format.is_planar or picture_format.is_rgb or picture_format.is_big_endian or bits > 16:
        matrix = Colour.of(frame).matrix  # swscale refuses some that frames tell
        frame = frame.reformat(format="gray", src_colorspace=matrix, dst_colorspace=matrix, threads=1)
        bits = 8
    plane: Any = frame.planes[0]
    kind, width = (np.uint8, plane.line_size) if bits <= 8 else (np.uint16, plane.line_size // 2)
    step = max(1, frame.width * frame.height // SAMPLES)
    rows = np.frombuffer(plane, kind).reshape(-1, width)[: frame.height, step // 2 : frame.width : step]
    return (rows >> (bits - 8) if bits > 8 else rows).astype(np.int16)
