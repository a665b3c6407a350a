"""Stream copy: the packets of a span, where copying them gives exactly its frames."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from stages import heartbeat
from stages.errors import CurationError
from stages.media.colour import Colour
from stages.media.packet_times import REORDERED_PACKETS, PacketTimes, has_decoding_times_only
from stages.tasks import Span

COPYABLE_VIDEO_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
"""Codecs copied into MP4. The rest (VP8, MPEG-2, Theora, ...) is encoded."""

MPEG4_FRAME_START = b"\0\0\1\xb6"

_UNSPECIFIED = (2, 2, 0)
"""Transfer, matrix and range that say nothing."""

SEEK_BACK_S = 10
"""A seek may land after its target (MPEG has no index): the next seek goes back by this, the last to the start."""


class NotCopyable(CurationError):
    """Copying packets would not give exactly the frames of the span."""


def copy_packets(
    container: InputContainer,
    stream: VideoStream,
    span: Span,
    num_frames: int,
    *,
    may_seek: bool = True,
    takes_hdr: bool = True,
) -> Iterator[Packet]:
    """The packets of the span's frames in file order, each with PTS and DTS.

    Args:
        container: not yet read from.
        stream: the video.
        span: from a keyframe to a keyframe or the end.
        num_frames: in the span.
        may_seek: false to read from the beginning, see `CutJob`.
        takes_hdr: false to copy no HDR.

    Raises:
        NotCopyable: at once where the codec is not copied into MP4, else while the packets are read.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec not in COPYABLE_VIDEO_CODECS:
        raise NotCopyable(f"Video copied into MP4 must be one of {sorted(COPYABLE_VIDEO_CODECS)}, got {codec}.")
    if has_decoding_times_only(stream) and codec != "mpeg4":
        raise NotCopyable("Copied packets must have presentation times, and AVI has none of them.")
    read = _packets_from_keyframe if may_seek and span.start_pts > beginning(container, stream) else _packets_from_start
    packets = _span_packets(read(container, stream, span), codec, span, num_frames)
    return ending_with(span, _fill_missing_dts(checked(packets, stream, takes_hdr=takes_hdr)))


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


def beginning(container: InputContainer, stream: Stream) -> int:
    """The earliest time of container or stream, in the stream's time base. A seek to before it may lose packets."""
    times = [stream.start_time or 0]
    if container.start_time is not None:
        times.append(int(Fraction(container.start_time, av.time_base) / (stream.time_base or 1)))
    return min(times)


def decodes_from_keyframes(stream: VideoStream) -> bool:
    """False where the palette of 8-bit pictures comes once, with the first packet or a change."""
    return stream.pix_fmt != "pal8"


def _span_packets(packets: Iterator[Packet], codec: str, span: Span, num_frames: int) -> Iterator[Packet]:
    """The packets of the span's frames in file order.

    The leading frames of an open GOP are presented before their keyframe and stored after it:

        file:   K0 P3 B1 B2 | K6 B4 B5 P9 ...     a span that ends at 6 would need K6 for B4 and B5
    """
    count, ended = 0, False
    for packet in packets:
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
            check_header(packet)
            _check_single(packet, codec)
            count += 1
            yield packet
    if count != num_frames:
        raise NotCopyable(f"The span must hold {num_frames} packets, one a frame, got {count}.")


def check_header(packet: Packet) -> None:
    """Check that the packet brings no other header for the decoder than the container's."""
    if packet.has_sidedata("new_extradata"):
        raise NotCopyable("Copied frames must have the header of the stream's first ones, got another one.")


def _check_single(packet: Packet, codec: str) -> None:
    """Check that an MPEG-4 packet holds one frame: in AVI, encoders put a B-frame into the packet before its own."""
    if codec == "mpeg4" and bytes(packet).count(MPEG4_FRAME_START) > 1:
        raise NotCopyable("Copied packets must hold a frame each, got two in one (MPEG-4 as a packed bitstream).")


def checked(packets: Iterator[Packet], stream: VideoStream, *, takes_hdr: bool) -> Iterator[Packet]:
    """The same packets. The first is decoded: where size or colours change inside a stream, the header tells the first.

    Raises:
        NotCopyable: its picture has another size or colour than the header tells, or is HDR, which is not to be
            copied.
    """
    context = stream.codec_context
    context.thread_type, context.thread_count = "NONE", 1
    told, told_colour = (stream.width, stream.height), (stream.color_trc, stream.colorspace, stream.color_range)
    for packet in islice(packets, 1):
        with suppress(FFmpegError):  # a damaged packet is copied
            for frame in (*context.decode(packet), *context.decode(None)):
                found = (frame.width, frame.height)
                if found != told:
                    raise NotCopyable(f"Copied frames must have the size that the header tells, {told}, got {found}.")
                found_colour = (frame.color_trc, frame.colorspace, frame.color_range)
                if any(map(_contradicts, told_colour, found_colour, _UNSPECIFIED)):
                    raise NotCopyable("Copied frames must have the colours that the header tells, got others.")
                if not takes_hdr and Colour.of(frame).is_hdr:
                    raise NotCopyable("A copied clip must be SDR, and this one is HDR. Set write.hdr=keep.")
        yield packet
    yield from packets


def _contradicts(told: int, found: int, unspecified: int) -> bool:
    return told != found and unspecified not in (told, found)


def _packets_from_keyframe(container: InputContainer, stream: VideoStream, span: Span) -> Iterator[Packet]:
    """Packets from the span's first one on; none where the span does not start at a keyframe."""
    earlier = span.start_pts - round(SEEK_BACK_S / span.time_base)
    for pts in (span.start_pts, earlier, stream.start_time or 0):
        seek_to_keyframe(container, stream, pts)
        packets = refused(container.demux(stream))
        for packet in packets:
            heartbeat.beat()
            if packet.pts == span.start_pts and packet.is_keyframe:
                yield packet
                yield from packets
                return
            if packet.dts is not None and packet.dts > span.start_pts:
                break


def _packets_from_start(container: InputContainer, stream: VideoStream, span: Span) -> Iterator[Packet]:
    """Packets from the span's first one on, with corrected times, where the file is read from its beginning."""
    packets = refused(PacketTimes(container, stream).packets())
    for packet in packets:
        heartbeat.beat()
        check_header(packet)
        if packet.pts == span.start_pts and packet.is_keyframe:
            yield packet
            yield from packets
            return


def refused(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets of a stream.

    Raises:
        NotCopyable: the container breaks. Some of FFmpeg's demuxers report that, or the end, by a system error number
            (EIO, EPERM). Real read errors are kept by the source's handle and raised by `open_video`.
    """
    try:
        yield from packets
    except FFmpegError as error:
        raise NotCopyable(f"The packets of the span cannot be read: {error.strerror or error}.") from error


def ending_with(span: Span, packets: Iterator[Packet]) -> Iterator[Packet]:
    """The same packets, each with DTS, whose lengths make the file as long as the span.

    An MP4 plays to the latest end of its packets, and stores the distances of DTS and the length of the packet that
    comes last. With B-frames that is another one than the last picture's, so both get their length by the span.
    """
    first_dts: int | None = None
    waiting: list[Packet] = []
    for packet in packets:
        first_dts = packet.dts if first_dts is None else first_dts
        waiting.append(packet)
        if len(waiting) > REORDERED_PACKETS:
            yield _shortened(waiting.pop(0), span)
    if waiting:
        last, shown_last = waiting[-1], max(waiting, key=lambda packet: packet.pts or 0)
        rest = span.end_pts - span.start_pts - ((last.dts or 0) - (first_dts or 0))
        last.duration = max(1, min(rest, span.end_pts - (last.pts or 0)))
        shown_last.duration = span.end_pts - (shown_last.pts or 0)
    yield from (_shortened(packet, span) for packet in waiting)


def _shortened(packet: Packet, span: Span) -> Packet:
    """The packet, which is shown until the end of the span at most: headers may tell a wrong length of all."""
    packet.duration = min(packet.duration or 0, span.end_pts - (packet.pts or 0))
    return packet


def _fill_missing_dts(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The same packets; the first ones of a Matroska file have no DTS and get values before the first DTS.

    Raises:
        NotCopyable: the last packets have no DTS.
    """
    missing: list[Packet] = []
    first: Packet | None = None
    for packet in packets:
        if first is not None:
            yield from _with_dts(missing, first, packet)
            missing, first = [], None
        if packet.dts is None:
            missing.append(packet)
        elif missing:
            first = packet
        else:
            yield packet
    if first is not None:
        yield from _with_dts(missing, first, None)
    elif missing:
        raise NotCopyable("Copied packets must have a DTS, and the last ones of the span have none.")


def _with_dts(missing: list[Packet], first: Packet, following: Packet | None) -> list[Packet]:
    """The packets without DTS, as far apart as the two that have one, and the first of these.

    Their own lengths are not needed, which are those of the header, and wrong in some.
    """
    step = first.duration or 1
    if following is not None and following.dts is not None and first.dts is not None:
        step = max(1, following.dts - first.dts)
    for back, early in enumerate(reversed(missing), start=1):
        early.dts = (first.dts or 0) - back * step
    return [*missing, first]
