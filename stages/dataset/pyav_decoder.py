"""Decodes the wanted frames of a clip's file with PyAV."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import av

from stages.dataset.clip_frames import ClipFrames, FrameCollector, FrameCountMismatch
from stages.media import (
    USUAL_PEAK_NITS,
    DecodedFrame,
    UprightScaler,
    decode_frames,
    displayed_size,
    open_video_file,
    video_stream,
)
from stages.tasks import Size


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A frame that is wanted.

    Attributes:
        frame: the decoder's output.
        ticks: when it begins to be shown, from the first frame, in units of PTS.
        repeats: how many times it is wanted.
    """

    frame: av.VideoFrame
    ticks: int
    repeats: int


def decode_with_pyav(
    data: bytes, location: str, times: Sequence[Fraction] | None, *, size: Size | None, num_frames: int
) -> ClipFrames:
    """The frames that are shown at some times, or every frame. Decoding ends behind the last of them.

    Args:
        data: the clip's file.
        location: its name, for messages.
        times: seconds from the first frame, in order; None for every frame.
        size: as `FrameCollector` takes it.
        num_frames: frames that the file has.

    Raises:
        SourceError: the file is no video, or breaks.
        FrameCountMismatch: it has fewer frames, or more.
    """
    collector: FrameCollector | None = None
    upright: UprightScaler | None = None
    with open_video_file(location, BytesIO(data)) as container:
        stream = video_stream(container)
        time_base = stream.time_base or Fraction(1, av.time_base)
        ticks = None if times is None else [time / time_base for time in times]
        for shown in shown_frames(_counted(decode_frames(container), num_frames), ticks):
            if collector is None or upright is None:
                upright = UprightScaler(displayed_size(shown.frame, None), peak_nits=USUAL_PEAK_NITS)
                displayed = displayed_size(shown.frame, stream.sample_aspect_ratio)
                collector = FrameCollector(num_frames if times is None else len(times), displayed, size)
            collector.add(upright(shown.frame), shown.ticks * time_base, shown.repeats)
    if collector is None:
        raise FrameCountMismatch(num_frames, 0)
    return collector.frames()


def shown_frames(frames: Iterator[DecodedFrame], ticks: Sequence[Fraction] | None) -> Iterator[ShownFrame]:
    """The frames that are shown at some times, with the number of these times; every frame once for None.

    A frame is shown from its PTS on until that of the next one, the last frame without end:

        frames   0    3    6    9         ticks 1, 4, 5, 10   ->   frame 0 once, 3 twice, 9 once

    Nothing is read behind the frame after the last wanted one.

    Args:
        frames: in presentation order.
        ticks: times from the first frame, in units of PTS, in order.
    """
    first_pts: int | None = None
    done = 0
    previous: DecodedFrame | None = None
    for current in frames:
        first_pts = current.pts if first_pts is None else first_pts
        if ticks is None:
            yield ShownFrame(current.frame, current.pts - first_pts, 1)
            continue
        due = bisect_left(ticks, current.pts - first_pts) - done
        if previous is not None and due:
            yield ShownFrame(previous.frame, previous.pts - first_pts, due)
            done += due
            if done == len(ticks):
                return
        previous = current
    if ticks is not None and previous is not None and first_pts is not None:
        yield ShownFrame(previous.frame, previous.pts - first_pts, len(ticks) - done)


def _counted(frames: Iterator[DecodedFrame], num_frames: int) -> Iterator[DecodedFrame]:
    """The frames; their number is checked where they are read to the end.

    Raises:
        FrameCountMismatch: there are fewer or more.
    """
    count = 0
    for frame in frames:
        count += 1
        if count > num_frames:
            raise FrameCountMismatch(num_frames, count)
        yield frame
    if count < num_frames:
        raise FrameCountMismatch(num_frames, count)
