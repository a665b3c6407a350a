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
    """Takes every frame of a stream, and adds the sampled ones once their next frame is there.

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
        self._before: DecodedFrame | None = None
        self._last: DecodedFrame | None = None
        self._last_sampled = False

    def push(self, current: DecodedFrame) -> None:
        """Add the next frame."""
        selection = self._sampler.push(current.pts)
        if self._last is not None and (self._last_sampled or selection.previous):
            self._add(self._progressive(self._before, self._last, current))
        self._before, self._last, self._last_sampled = self._last, current, selection.current

    def finish(self) -> None:
        """End the stream."""
        if self._last is not None and (self._sampler.finish() or self._last_sampled):
            self._add(self._progressive(self._before, self._last, None))

    def _progressive(
        self, before: DecodedFrame | None, decoded: DecodedFrame, after: DecodedFrame | None
    ) -> DecodedFrame:
        """The frame, deinterlaced where its fields show two moments, or where it says so and that cannot be seen."""
        frame = decoded.frame
        fields = self._meter(before, decoded, after) if before is not None and after is not None else Fields.UNKNOWN
        if fields.is_interlaced or (fields == Fields.UNKNOWN and frame.interlaced_frame):
            earlier, later = (_neighbour(each, decoded) for each in (before, after))
            return replace(decoded, frame=deinterlaced_frame(earlier, frame, later, fields))
        return decoded


def _neighbour(neighbour: DecodedFrame | None, decoded: DecodedFrame) -> av.VideoFrame:
    """A neighbour's frame; the frame itself where there is none of its size and format."""
    frame = decoded.frame
    if neighbour is None:
        return frame
    other = neighbour.frame
    alike = (other.width, other.height, other.format.name) == (frame.width, frame.height, frame.format.name)
    return other if alike else frame
