"""The packets of a span, where copying them gives exactly its frames."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from stages import heartbeat
from stages.errors import CurationError
from stages.tasks import Span

COPIED_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
"""Video that an MP4 can hold as it is. The rest (VP8, MPEG-2, Theora, ...) is encoded."""


NEAR_S = 10
"""Where a seek lands behind its aim (MPEG has no index), the next one goes back by this; then from the start."""


class NotCopyable(CurationError):
    """Copying packets would not give exactly the frames of the span."""


def copied_packets(container: InputContainer, stream: VideoStream, span: Span, num_frames: int) -> Iterator[Packet]:
    """The packets of the span's frames, in the order of the file, each with PTS and DTS.

    Raises:
        NotCopyable: at once where MP4 cannot hold the codec, else while the packets are read.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec not in COPIED_CODECS:
        raise NotCopyable(f"Video copied into MP4 must be one of {sorted(COPIED_CODECS)}, got {codec}.")
    return _with_dts(_packets_of(container, stream, span, num_frames))


def rebased(packets: Iterable[Packet], track: Stream, start_pts: int) -> Iterator[Packet]:
    """The packets as parts of another stream, their time counted from `start_pts`."""
    for packet in packets:
        packet.pts = (packet.pts or 0) - start_pts
        packet.dts = packet.dts - start_pts if packet.dts is not None else packet.pts
        packet.stream = track
        yield packet


def seek_before(container: InputContainer, stream: Stream, pts: int) -> None:
    """Reading goes on at the keyframe before `pts`, or where it stands if the container cannot seek."""
    with suppress(FFmpegError):
        container.seek(pts, stream=stream)


def _packets_of(container: InputContainer, stream: VideoStream, span: Span, num_frames: int) -> Iterator[Packet]:
    """The packets of the span's frames, as they come in the file.

    Pictures that a keyframe leads (open GOP) are shown before it and come after it:

        file:   K0 P3 B1 B2 | K6 B4 B5 P9 ...     a span that ends at 6 would need K6 for B4 and B5
    """
    count, ended = 0, False
    for packet in _from_keyframe(container, stream, span):
        heartbeat.beat()
        if not packet.size:
            continue
        if packet.pts is None:
            raise NotCopyable("Copied packets must have a PTS, and one has none.")
        if packet.pts >= span.end_pts:
            ended = True
            if (packet.dts if packet.dts is not None else packet.pts) >= span.end_pts:
                break
        elif packet.pts >= span.start_pts:
            if ended:
                raise NotCopyable("The last frames of the span need the keyframe that follows it (open GOP).")
            count += 1
            yield packet
    if count != num_frames:
        raise NotCopyable(f"The span must hold {num_frames} packets, one a frame, got {count}.")


def _from_keyframe(container: InputContainer, stream: VideoStream, span: Span) -> Iterator[Packet]:
    """Packets from the span's first on; none where the file has no keyframe there."""
    near = span.start_pts - round(NEAR_S / span.time_base)
    for pts in (span.start_pts, near, stream.start_time or 0):
        seek_before(container, stream, pts)
        packets = _demuxed(container, stream)
        for packet in packets:
            heartbeat.beat()
            if packet.pts == span.start_pts and packet.is_keyframe:
                yield packet
                yield from packets
                return
            if packet.dts is not None and packet.dts > span.start_pts:
                break


def _demuxed(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream.

    Raises:
        NotCopyable: the container breaks. Some of FFmpeg's demuxers say so, or end, with a number of the system's (EIO,
            EPERM); what the system itself did is known to the source's handle, which `open_video` asks.
    """
    try:
        yield from container.demux(stream)
    except FFmpegError as error:
        raise NotCopyable(f"The packets of the span cannot be read: {error.strerror or error}.") from error


def _with_dts(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The same packets; those at the head of a Matroska file have no DTS and get one before the first that has.

    Raises:
        NotCopyable: none has one.
    """
    waiting: list[Packet] = []
    for packet in packets:
        if packet.dts is None:
            waiting.append(packet)
            continue
        for back, early in enumerate(reversed(waiting), start=1):
            early.dts = packet.dts - back * (packet.duration or 1)
        yield from waiting
        waiting = []
        yield packet
    if waiting:
        raise NotCopyable("Copied packets must have a DTS, and the last ones of the span have none.")
