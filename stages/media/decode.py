"""Decodes frames in presentation order with exact PTS until the stream ends or breaks; scales and rotates them."""

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
"""A PTS that repeats or steps back by less is replaced by the last PTS plus 1; a larger step back ends the stream."""
MAX_PTS = 1 << 62
"""Bound of a PTS, so that PTS and differences of two fit int64 columns."""
MAX_FILE_PASSES = 10
"""Limit of packet bytes read, in file sizes: an index of few bytes can refer to the same frames a million times."""
TS_PACKET_BYTES = (188, 192, 204)
"""Packet lengths of MPEG transport streams: plain, with a timestamp before each packet, with a checksum after it."""
MISSING_TAIL_S = 1
MISSING_TAIL_SHARE = 0.01
"""A stream that ends before its declared duration by more than both limits is truncated."""


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame with its index and PTS.

    Attributes:
        frame: the decoder's output, before rotation and pixel aspect are applied.
        index: in presentation order from 0.
        pts: in the stream's time base; rises from frame to frame.
        is_keyframe: true if the frame decodes without any other.
    """

    frame: av.VideoFrame
    index: int
    pts: int
    is_keyframe: bool


def decode_frames(
    container: InputContainer, *, num_threads: int = 1, export_vectors: bool = False
) -> Iterator[DecodedFrame]:
    """Decode every frame of the first video stream.

    Empty packets are skipped (Theora repeats a frame that way), and so are packets before the first that decodes (a
    recording may begin in the middle of a GOP). The first fault after that ends the stream.

    Args:
        container: from `open_video`, not yet read from.
        num_threads: decoder threads. With 1 no thread is started; with more, a fault also loses the frames in flight.
        export_vectors: export the codec's motion vectors as frame side data, where the codec has them.

    Raises:
        NoVideoStream: the container has no video stream.
        CorruptStream: the stream breaks or ends before its declared duration. Raised after all frames that decode.
    """
    stream = video_stream(container)
    context = stream.codec_context
    # FRAME threading only: slice threading would change nothing here, and AUTO has hung.
    context.thread_count = num_threads
    context.thread_type = "FRAME" if num_threads > 1 else "NONE"
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a later frame may be larger than the header says
    if export_vectors:
        context.flags2 |= Flags2.export_mvs
    timestamps = _MonotonicPts(stream)
    fault: str | None = None
    for index, item in enumerate(_raw_frames(container, stream)):
        if isinstance(item, str):
            fault = item
            break
        heartbeat.beat()
        pts = timestamps.assign(item)
        if pts is None:
            fault = f"time jumps from PTS {timestamps.last} to {item.pts}"
            break
        yield DecodedFrame(item, index, pts, bool(item.key_frame))
    else:
        fault = timestamps.missing_tail() or _truncated_packet(container)
    if fault is not None:
        where = "before its first frame" if timestamps.last is None else f"after PTS {timestamps.last}"
        message = f"The video stream breaks {where}: {fault}. Copy the file again or repair it."
        raise CorruptStream(container.name, message, timestamps.last)


def _raw_frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame | str]:
    """Frames as decoded; where the stream breaks, a last item of type str describes the fault."""
    context = stream.codec_context
    fault: str | None = None
    started = is_truncated = False
    bytes_left = MAX_FILE_PASSES * container.size
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            bytes_left -= packet.size
            if bytes_left < 0:
                yield "its index names the same bytes again and again"
                return
            is_truncated = packet.is_corrupt
            try:
                frames = context.decode(packet)
            except FFmpegError as error:
                fault = error.strerror or str(error)
                if started:
                    # The frames that the decoder still buffers have a gap where the broken frame belongs.
                    yield fault
                    return
                heartbeat.beat()
                continue
            started = started or bool(frames)
            yield from frames
    except FFmpegError as error:
        fault, is_truncated = error.strerror or str(error), True
    with contextlib.suppress(FFmpegError):  # frames that the decoder still holds; behind a fault it may hold none
        frames = context.decode(None)
        started = started or bool(frames)
        yield from frames
    if is_truncated or not started:
        yield fault or ("the last packet is cut off" if started else "no frame decodes")


def _truncated_packet(container: InputContainer) -> str | None:
    """The fault of a transport stream that ends inside a packet. Such a stream declares no duration to compare with."""
    if container.format.name != "mpegts" or not all(container.size % length for length in TS_PACKET_BYTES):
        return None
    return "its last packet is cut off"


class _MonotonicPts:
    """Assigns each frame a PTS that is larger than the last one's."""

    def __init__(self, stream: VideoStream) -> None:
        self._time_base = stream.time_base or Fraction(1, av.time_base)
        self._start = stream.start_time
        self._declared = _declared_duration(stream, self._time_base)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self._step = max(1, round(1 / (rate * self._time_base)))
        self.last: int | None = None
        self._end = 0

    def assign(self, frame: av.VideoFrame) -> int | None:
        """The next frame's PTS; None where it steps back by `MAX_STEP_BACK_S` or more, or exceeds `MAX_PTS`."""
        timestamp = frame.pts if frame.pts is not None else frame.dts
        if self.last is None:
            pts = timestamp if timestamp is not None else 0
            self._start = pts if self._start is None else self._start
        elif timestamp is None:
            pts = self.last + self._step
        elif timestamp > self.last:
            pts = timestamp
        elif (self.last - timestamp) * self._time_base < MAX_STEP_BACK_S:
            pts = self.last + 1
        else:
            return None
        if abs(pts) > MAX_PTS:
            return None
        self.last = pts
        self._end = pts + (frame.duration or self._step)
        return pts

    def missing_tail(self) -> str | None:
        """The fault of a stream that ended before its declared duration; None where it did not."""
        if self._declared is None or self._start is None or self.last is None:
            return None
        missing_s = float((self._start + self._declared - self._end) * self._time_base)
        if missing_s <= max(MISSING_TAIL_S, MISSING_TAIL_SHARE * float(self._declared * self._time_base)):
            return None
        return f"the file ends {missing_s:.1f} s before its declared end"


def _declared_duration(stream: VideoStream, time_base: Fraction) -> int | None:
    """The stream's own duration, in its time base. The container's is not used: it may be the audio's."""
    if stream.duration is not None:
        return stream.duration
    parts = stream.metadata.get("DURATION", "").split(":")  # Matroska: "00:00:20.020000000"
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return round((hours * 3600 + minutes * 60 + seconds) / time_base)


def displayed_size(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Size:
    """Width and height as displayed: the pixel aspect is applied to the width, then the rotation."""
    width = max(1, round(frame.width * (pixel_aspect or 1)))
    return Size(frame.height, width) if _quarter_turns(frame) % 2 else Size(width, frame.height)


def fit(size: Size, max_px: int) -> Size:
    """The size scaled down, never up, to at most `max_px` on its longest side."""
    longest = max(size.width, size.height)
    if longest <= max_px:
        return size
    return Size(max(1, round(size.width * max_px / longest)), max(1, round(size.height * max_px / longest)))


class UprightScaler:
    """Scales frames to one size and rotates them upright. Reuses its swscale context; not thread-safe.

    Args:
        size: of the result, as displayed.
        pixel_format: ``"rgb24"``, ``"bgr24"`` or ``"gray"``; 8 bit whatever the source's depth.
    """

    def __init__(self, size: Size, *, pixel_format: str = "rgb24") -> None:
        self._size = size
        self._format = pixel_format
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """The scaled frame: uint8 ``[H, W, 3]``, or ``[H, W]`` for gray."""
        turns = _quarter_turns(frame)
        width, height = self._size.width, self._size.height
        if turns % 2:
            width, height = height, width
        # threads=1: the default starts a pool of swscale threads for each context.
        scaled = self._reformatter.reformat(
            frame, width, height, self._format, interpolation=Interpolation.BICUBIC, threads=1
        )
        picture = scaled.to_ndarray().astype(np.uint8, copy=False)
        # OpenCV refuses rows with padding, which swscale adds for some widths.
        return np.ascontiguousarray(np.rot90(picture, turns))


def upright(frame: av.VideoFrame, size: Size) -> NDArray[np.uint8]:
    """The frame upright and scaled: uint8 ``[H, W, 3]`` RGB."""
    return UprightScaler(size)(frame)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that rotate the frame upright, 0 to 3."""
    return round(frame.rotation / 90) % 4
