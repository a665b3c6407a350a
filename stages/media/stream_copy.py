"""Stream copy: the packets of a span, where copying them gives exactly its frames."""

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

COPYABLE_VIDEO_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
"""Codecs copied into MP4. The rest (VP8, MPEG-2, Theora, ...) is encoded."""

SEEK_BACK_S = 10
"""A seek may land after its target (MPEG has no index): the next seek goes back by this, the last to the start."""


class NotCopyable(CurationError):
    """Copying packets would not give exactly the frames of the span."""


def copy_packets(container: InputContainer, stream: VideoStream, span: Span, num_frames: int) -> Iterator[Packet]:
    """The packets of the span's frames in file order, each with PTS and DTS.

    Raises:
        NotCopyable: at once where the codec is not copied into MP4, else while the packets are read.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec not in COPYABLE_VIDEO_CODECS:
        raise NotCopyable(f"Video copied into MP4 must be one of {sorted(COPYABLE_VIDEO_CODECS)}, got {codec}.")
    return _fill_missing_dts(_span_packets(container, stream, span, num_frames))


def rebase_packets(packets: Iterable[Packet], track: Stream, start_pts: int) -> Iterator[Packet]:
    """Assign the packets to an output stream; their PTS and DTS count from `start_pts`."""
    for packet in packets:
        packet.pts = (packet.pts or 0) - start_pts
        packet.dts = packet.dts - start_pts if packet.dts is not None else packet.pts
        packet.stream = track
        yield packet


def seek_to_keyframe(container: InputContainer, stream: Stream, pts: int) -> None:
    """Seek to the keyframe before `pts`; the position stays where it is if the container cannot seek."""
    with suppress(FFmpegError):
        container.seek(pts, stream=stream)


def _span_packets(container: InputContainer, stream: VideoStream, span: Span, num_frames: int) -> Iterator[Packet]:
    """The packets of the span's frames in file order.

    The leading frames of an open GOP are presented before their keyframe and stored after it:

        file:   K0 P3 B1 B2 | K6 B4 B5 P9 ...     a span that ends at 6 would need K6 for B4 and B5
    """
    count, ended = 0, False
    for packet in _packets_from_keyframe(container, stream, span):
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


def _packets_from_keyframe(container: InputContainer, stream: VideoStream, span: Span) -> Iterator[Packet]:
    """Packets from the span's first one on; none where the span does not start at a keyframe."""
    earlier = span.start_pts - round(SEEK_BACK_S / span.time_base)
    for pts in (span.start_pts, earlier, stream.start_time or 0):
        seek_to_keyframe(container, stream, pts)
        packets = _demux(container, stream)
        for packet in packets:
            heartbeat.beat()
            if packet.pts == span.start_pts and packet.is_keyframe:
                yield packet
                yield from packets
                return
            if packet.dts is not None and packet.dts > span.start_pts:
                break


def _demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream.

    Raises:
        NotCopyable: the container breaks. Some of FFmpeg's demuxers report that, or the end, by a system error number
            (EIO, EPERM). Real read errors are kept by the source's handle and raised by `open_video`.
    """
    try:
        yield from container.demux(stream)
    except FFmpegError as error:
        raise NotCopyable(f"The packets of the span cannot be read: {error.strerror or error}.") from error


def _fill_missing_dts(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The same packets; the first ones of a Matroska file have no DTS and get values before the first DTS.

    Raises:
        NotCopyable: the last packets have no DTS.
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
