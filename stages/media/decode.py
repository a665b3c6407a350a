"""Frames of a video in presentation order, at exact times, until the stream ends or breaks."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.codec.context import Flags2
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import CorruptStream
from stages.media.container import MAX_PIXELS, video_stream
from stages.tasks import Size

MAX_STEP_BACK_S = 1
"""A PTS that repeats or goes back by less is moved behind the one before; further back the stream's time is broken."""
MAX_PTS = 1 << 62
"""Neither a time nor the difference of two needs more bits than a column has."""
MAX_READINGS = 10
"""How often a stream may read the file through: an index of few bytes can name the same frames a million times."""
TS_PACKET_BYTES = (188, 192, 204)
"""Of an MPEG transport stream: plain, with a time before each packet, with a checksum behind it."""
MISSING_TAIL_S = 1
MISSING_TAIL_SHARE = 0.01
"""A stream that ends earlier than it declares by more than both of these is truncated."""


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame and where it stands.

    Attributes:
        frame: as the decoder gave it, before rotation and pixel aspect.
        index: in presentation order from 0.
        pts: in the stream's time base; rises from frame to frame.
        is_keyframe: it was decoded without another frame.
    """

    frame: av.VideoFrame
    index: int
    pts: int
    is_keyframe: bool


def decode_frames(
    container: InputContainer, *, num_threads: int = 1, export_vectors: bool = False
) -> Iterator[DecodedFrame]:
    """Every frame of the first video stream.

    Packets of no length are skipped (Theora repeats a frame that way), and so are those before the first that
    decodes (a recording may begin in the middle of a GOP). The first fault after that ends the stream.

    Args:
        container: from `open_video`, not yet read from.
        num_threads: of the decoder. With 1 it starts none; with more, a fault also loses the frames in flight.
        export_vectors: frames carry the codec's motion vectors as side data, where the codec has such.

    Raises:
        NoVideoStream: there is none.
        CorruptStream: the stream breaks, or ends before its declared end; after what decodes has been yielded.
    """
    stream = video_stream(container)
    context = stream.codec_context
    # Frame threads and no other kind: slices would change nothing here, and AUTO has hung.
    context.thread_count = num_threads
    context.thread_type = "FRAME" if num_threads > 1 else "NONE"
    context.options = {"max_pixels": str(MAX_PIXELS)}  # of a picture that is larger than the first
    if export_vectors:
        context.flags2 |= Flags2.export_mvs
    clock = _Clock(stream)
    fault: str | None = None
    for index, item in enumerate(_raw_frames(container, stream)):
        if isinstance(item, str):
            fault = item
            break
        heartbeat.beat()
        pts = clock.advance(item)
        if pts is None:
            fault = f"time jumps from PTS {clock.last} to {item.pts}"
            break
        yield DecodedFrame(item, index, pts, bool(item.key_frame))
    else:
        fault = clock.missing_tail() or _cut_packet(container)
    if fault is not None:
        where = "before its first frame" if clock.last is None else f"after PTS {clock.last}"
        message = f"The video stream breaks {where}: {fault}. Copy the file again or repair it."
        raise CorruptStream(container.name, message, clock.last)


def _raw_frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame | str]:
    """Frames as decoded; last, where the stream broke, one text that says how."""
    context = stream.codec_context
    fault: str | None = None
    started = partial = False
    left = MAX_READINGS * container.size
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            left -= packet.size
            if left < 0:
                yield "its index names the same bytes again and again"
                return
            partial = packet.is_corrupt
            try:
                frames = context.decode(packet)
            except FFmpegError as error:
                fault = error.strerror or str(error)
                if started:
                    # What the decoder holds back has holes where the broken frame belongs.
                    yield fault
                    return
                heartbeat.beat()
                continue
            started = started or bool(frames)
            yield from frames
    except FFmpegError as error:
        fault, partial = error.strerror or str(error), True
    with contextlib.suppress(FFmpegError):
        frames = context.decode(None)
        started = started or bool(frames)
        yield from frames
    if partial or not started:
        yield fault or ("the last packet is cut off" if started else "no frame decodes")


def _cut_packet(container: InputContainer) -> str | None:
    """What is wrong where a transport stream does not end with a packet; it declares no duration to miss."""
    if container.format.name != "mpegts" or not all(container.size % length for length in TS_PACKET_BYTES):
        return None
    return "its last packet is cut off"


class _Clock:
    """Times of frames, made to rise."""

    def __init__(self, stream: VideoStream) -> None:
        self._time_base = stream.time_base or Fraction(1, av.time_base)
        self._start = stream.start_time
        self._declared = _declared_duration(stream, self._time_base)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self._step = max(1, round(1 / (rate * self._time_base)))
        self.last: int | None = None
        self._end = 0

    def advance(self, frame: av.VideoFrame) -> int | None:
        """The PTS of the next frame; None where time goes back for good, or leaves what `MAX_PTS` allows."""
        told = frame.pts if frame.pts is not None else frame.dts
        if self.last is None:
            pts = told if told is not None else 0
            self._start = pts if self._start is None else self._start
        elif told is None:
            pts = self.last + self._step
        elif told > self.last:
            pts = told
        elif (self.last - told) * self._time_base < MAX_STEP_BACK_S:
            pts = self.last + 1
        else:
            return None
        if abs(pts) > MAX_PTS:
            return None
        self.last = pts
        self._end = pts + (frame.duration or self._step)
        return pts

    def missing_tail(self) -> str | None:
        """What is wrong where the stream ended too early."""
        if self._declared is None or self._start is None or self.last is None:
            return None
        missing_s = float((self._start + self._declared - self._end) * self._time_base)
        if missing_s <= max(MISSING_TAIL_S, MISSING_TAIL_SHARE * float(self._declared * self._time_base)):
            return None
        return f"the file ends {missing_s:.1f} s before its declared end"


def _declared_duration(stream: VideoStream, time_base: Fraction) -> int | None:
    """What the stream itself declares, in its time base; a container's duration may be its audio's."""
    if stream.duration is not None:
        return stream.duration
    parts = stream.metadata.get("DURATION", "").split(":")  # Matroska: "00:00:20.020000000"
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return round((hours * 3600 + minutes * 60 + seconds) / time_base)


def displayed_size(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Size:
    """Width and height on a screen: wide pixels widen the picture, then it is turned."""
    width = max(1, round(frame.width * (pixel_aspect or 1)))
    return Size(frame.height, width) if _quarter_turns(frame) % 2 else Size(width, frame.height)


def fit(size: Size, max_px: int) -> Size:
    """The size shrunk, never enlarged, to at most `max_px` on its longest side."""
    longest = max(size.width, size.height)
    if longest <= max_px:
        return size
    return Size(max(1, round(size.width * max_px / longest)), max(1, round(size.height * max_px / longest)))


class UprightScaler:
    """Scales frames to one size and turns them upright. Keeps its scaling context; one thread at a time.

    Args:
        size: of the result, as displayed.
        pixel_format: ``"rgb24"``, ``"bgr24"`` or ``"gray"``, 8 bit whatever the source.
    """

    def __init__(self, size: Size, *, pixel_format: str = "rgb24") -> None:
        self._size = size
        self._format = pixel_format
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Uint8 ``[H, W, 3]``, or ``[H, W]`` for gray."""
        turns = _quarter_turns(frame)
        width, height = self._size.width, self._size.height
        if turns % 2:
            width, height = height, width
        # threads=1: the default starts a pool of swscale threads for each context.
        scaled = self._reformatter.reformat(
            frame, width, height, self._format, interpolation=Interpolation.BICUBIC, threads=1
        )
        picture = scaled.to_ndarray().astype(np.uint8, copy=False)
        # OpenCV refuses rows with padding, which some widths get.
        return np.ascontiguousarray(np.rot90(picture, turns))


def upright(frame: av.VideoFrame, size: Size) -> NDArray[np.uint8]:
    """The picture as displayed, scaled: uint8 ``[H, W, 3]`` RGB."""
    return UprightScaler(size)(frame)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that make the picture upright, 0 to 3."""
    return round(frame.rotation / 90) % 4
