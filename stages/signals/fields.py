"""Interlace of a video: whether the two fields of sampled frames show one moment or two."""

from array import array
from fractions import Fraction

import numpy as np

from stages.media import DecodedFrame, Fields, FieldsMeter
from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.sample_times import SampleTimes
from stages.signals.samples import Samples
from stages.tasks import Row

SAMPLES_PER_S = 2.0
TOLD_SHARE_MIN = 0.2
"""Of the sampled frames; where fewer can be told, and not all of these are interlaced, flags count."""
SAMPLES_MIN = 3
"""A clip with fewer is as the nearest ones say, in it or beside it: one that cannot be told would decide."""


class FieldsRecorder(Recorder):
    """Measures the fields of two frames a second, and notes what the frames say of themselves.

    Their times are uneven: in film brought to 30 frames a second (telecine) two of five frames are interlaced, which
    even times would miss, or meet each time.

    Args:
        time_base: seconds per unit of PTS.
        meter: of the stream's fields.
    """

    name = "fields"
    version = "2"
    clip_columns = ("interlaced_share", "field_order")
    looks_back = True

    def __init__(self, time_base: Fraction, meter: FieldsMeter) -> None:
        self._meter = meter
        self._times = SampleTimes(SAMPLES_PER_S, time_base)
        self._before: DecodedFrame | None = None
        self._last: DecodedFrame | None = None
        self._last_is_due = self._has_begun = False
        self._frames, self._fields, self._flags = array("q"), array("b"), array("b")

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame. A sampled one is measured once the next is there."""
        current = pictures.decoded
        if self._before is not None and self._last is not None and self._last_is_due:
            self._frames.append(self._last.index)
            self._fields.append(self._meter(self._before, self._last, current))
            self._flags.append(self._last.frame.interlaced_frame)
        self._count(current.pts)
        self._before, self._last = self._last, current

    def skip(self, pts: int) -> None:
        """Count its time."""
        self._count(pts)

    def samples(self) -> Samples:
        """``fields`` ``[N]``, as `Fields`, and ``is_flagged_interlaced`` ``[N]``."""
        self._before = self._last = None
        flags = np.array(self._flags, np.bool_)
        fields = np.array(self._fields, np.int8)
        return Samples(np.array(self._frames, np.int64), {"fields": fields, "is_flagged_interlaced": flags})

    def _count(self, pts: int) -> None:
        self._last_is_due = self._has_begun and self._times.is_due(pts)  # the first has none before it
        self._has_begun = True

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The share of interlaced frames, and which of their fields is first.

        The share is among the frames that can be told, two or more. Where these are few and not all interlaced, it is
        that of frames which say so of themselves.
        """
        inside = samples.within(start, end)
        if len(inside) < min(SAMPLES_MIN, len(samples)):
            nearest = np.argsort(np.abs(samples.frame - (start + end) // 2), kind="stable")[:SAMPLES_MIN]
            inside = samples.within(int(samples.frame[nearest].min()), int(samples.frame[nearest].max()) + 1)
        fields = inside["fields"]
        if not len(fields):
            return dict.fromkeys(cls.clip_columns)
        top, bottom = (int(np.count_nonzero(fields == each)) for each in (Fields.TOP_FIRST, Fields.BOTTOM_FIRST))
        told = int(np.count_nonzero(fields != Fields.UNKNOWN))
        counts = told > 1 and (told >= TOLD_SHARE_MIN * len(fields) or told == top + bottom)
        share = (top + bottom) / told if counts else float(inside["is_flagged_interlaced"].mean())
        order = None if top == bottom else "top" if top > bottom else "bottom"
        return {"interlaced_share": share, "field_order": order}
