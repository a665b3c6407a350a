"""Takes the pictures of a frame store out of the frames of a stream: sampled at a constant rate, and progressive."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import av

from stages.media.decode import DecodedFrame
from stages.media.deinterlacing import deinterlaced_frame
from stages.media.interlace import Fields, FieldsMeter
from stages.media.sampling import NearestSampler


class StoreFiller:
    """Takes every frame of a stream, and adds the sampled ones once their next frame is there, the first one later.

    What the fields of a frame show is seen beside its neighbours. The first and the last one have one neighbour, and
    are taken for what it shows.

    Args:
        add: takes the next picture of the frame store.
        fps: pictures a second.
        time_base: seconds per unit of PTS.
        meter: of the stream's fields.
    """

    def __init__(
        self, add: Callable[[DecodedFrame], None], fps: float, time_base: Fraction, *, meter: FieldsMeter
    ) -> None:
        self._add = add
        self._meter = meter
        self._sampler = NearestSampler(fps, time_base)
        self._first: DecodedFrame | None = None
        """The first frame, where it is to be added."""
        self._earlier: DecodedFrame | None = None
        self._before: DecodedFrame | None = None
        self._last: DecodedFrame | None = None
        self._last_sampled = False

    def push(self, current: DecodedFrame) -> None:
        """Add the next frame."""
        selection = self._sampler.push(current.pts)
        if self._first is not None and self._last is not None:
            fields = self._meter(self._first, self._last, current)
            self._add_progressive(None, self._first, self._last, fields)
            self._first = None
        if self._last is not None and (self._last_sampled or selection.previous):
            if self._before is None:
                self._first = self._last
            else:
                fields = self._meter(self._before, self._last, current)
                self._add_progressive(self._before, self._last, current, fields)
        self._earlier, self._before, self._last = self._before, self._last, current
        self._last_sampled = selection.current

    def skip(self, pts: int) -> None:
        """Pass over a frame before the section that is decoded; times of samples go by it."""
        self._last_sampled = self._sampler.push(pts).current

    def finish(self) -> None:
        """End the stream."""
        if self._first is not None:
            self._add_progressive(None, self._first, self._last, Fields.UNKNOWN)
        if self._last is not None and (self._sampler.finish() or self._last_sampled):
            fields = Fields.UNKNOWN
            if self._earlier is not None and self._before is not None:
                fields = self._meter(self._earlier, self._before, self._last)
            self._add_progressive(self._before, self._last, None, fields)

    def _add_progressive(
        self, before: DecodedFrame | None, decoded: DecodedFrame, after: DecodedFrame | None, fields: Fields
    ) -> None:
        """Add a frame, deinterlaced where its fields show two moments, or where it says so and that cannot be seen."""
        frame = decoded.frame
        if fields.is_interlaced or (fields == Fields.UNKNOWN and frame.interlaced_frame):
            earlier, later = (_neighbour(each, decoded) for each in (before, after))
            decoded = replace(decoded, frame=deinterlaced_frame(earlier, frame, later, fields))
        self._add(decoded)


def _neighbour(neighbour: DecodedFrame | None, decoded: DecodedFrame) -> av.VideoFrame:
    """A neighbour's frame; the frame itself where there is none of its size and format."""
    frame = decoded.frame
    if neighbour is None:
        return frame
    other = neighbour.frame
    alike = (other.width, other.height, other.format.name) == (frame.width, frame.height, frame.format.name)
    return other if alike else frame
