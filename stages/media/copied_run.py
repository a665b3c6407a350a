"""Finds the packets inside a span that can be copied where its first and last frames are encoded.

    stored:     ... K0  P3  B1  B2 | K6  B4  B5  P9  B7  B8  P12 B10 B11 | ...     the number is that of the frame
    span:       frames 2 to 10
    encoded:    2 3 4 5, and 10
    copied:     K6 P9 B7 B8

Copied packets begin at a keyframe that needs nothing before it, without the frames that are stored behind it and shown
before it. They end where the packets so far are all frames up to a time: none of them needs one behind.
"""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from stages import heartbeat
from stages.media.nal_units import UnitLayout, is_parameter_set, unit_type
from stages.media.packet_times import REORDERED_PACKETS
from stages.media.stream_copy import SEEK_BACK_S, NotCopyable, beginning, check_header, refused, seek_to_keyframe
from stages.tasks import Span

MAX_BYTES = 1 << 27
"""Of a span's packets, which are held in memory. Longer spans are encoded."""
_H264_IDR = 5
_H264_LAYERS = frozenset({14, 15, 20, 21})
"""NAL unit types of H.264 with several layers or eyes."""
_DOLBY_VISION = (62, 63)
"""NAL unit types of HEVC that say how to show a frame, or hold what refines it."""
_HEVC_CLOSED = range(16, 22)
_HEVC_SLICES = range(32)
_HEVC_IDR = (19, 20)
_HEVC_IDR_N_LP, _HEVC_BLA_N_LP = 20, 18
"""Keyframes without frames that are shown before them: an IDR, and one behind which the stream is another one."""


@dataclass(frozen=True, slots=True)
class CopiedRun:
    """Packets to copy, and what is to be encoded before and behind them.

    Attributes:
        packets: in the order of the stream.
        start_pts: of its first frame.
        end_pts: of the first frame behind it; the end of the span where there is none.
        num_before: frames of the span before it.
        num_behind: frames of the span behind it.
    """

    packets: list[Packet]
    start_pts: int
    end_pts: int
    num_before: int
    num_behind: int

    def units(self, layout: UnitLayout) -> Iterator[list[bytes]]:
        """The NAL units of each packet, without parameter sets, which are those of the header.

        Raises:
            NotCopyable: a packet brings other parameter sets, or has several layers.
            UnreadableUnits: a packet cannot be taken apart.
        """
        for index, packet in enumerate(self.packets):
            units = layout.units(bytes(packet))
            for unit in units:
                _check_unit(unit, layout)
            pictures = [unit for unit in units if not is_parameter_set(layout.codec, unit)]
            cuts_off = layout.codec == "hevc" and index == 0 and self.num_before > 0
            yield [_cut_off(unit) for unit in pictures] if cuts_off else pictures


def find_copied_run(
    container: InputContainer, stream: VideoStream, span: Span, num_frames: int, layout: UnitLayout
) -> CopiedRun:
    """The longest run of packets that begins at the first keyframe of the span that needs nothing before it.

    Args:
        container: not yet read from.
        stream: the video, H.264 or HEVC.
        span: from any frame to any frame.
        num_frames: in the span.
        layout: of the stream's packets.

    Raises:
        NotCopyable: there is none, or the packets at hand are not the frames of the span, one each.
        UnreadableUnits: a packet cannot be taken apart.
    """
    packets, num_ready = _packets_of(container, stream, span, num_frames)
    times = sorted(packet.pts or 0 for packet in packets)
    first = next((index for index, packet in enumerate(packets[:num_ready]) if _begins_anew(packet, layout)), None)
    if first is None:
        raise NotCopyable("The span must hold a keyframe that needs nothing before it (closed GOP), and it has none.")
    start_pts = packets[first].pts or 0
    # The last frames of the span may be stored behind one that follows it, which they need.
    behind = [packet for packet in packets[first:num_ready] if (packet.pts or 0) >= start_pts]
    if layout.codec == "h264" and len(behind) < num_ready - first:
        raise NotCopyable("Frames stored behind an IDR of H.264 must be shown behind it, and one is not.")
    expected = times[bisect.bisect_left(times, start_pts) :]
    length = _num_whole(behind, expected)
    end_pts = expected[length] if length < len(expected) else span.end_pts
    return CopiedRun(behind[:length], start_pts, end_pts, num_frames - len(expected), len(expected) - length)


def _packets_of(
    container: InputContainer, stream: VideoStream, span: Span, num_frames: int
) -> tuple[list[Packet], int]:
    """The packets of the span's frames in the order of the stream, and how many are stored before any later frame's.

    Raises:
        NotCopyable: they are not one a frame, wherever reading begins.
    """
    packets: list[Packet] = []
    earlier = span.start_pts - round(SEEK_BACK_S / span.time_base)
    for count, pts in enumerate((span.start_pts, earlier, stream.start_time or 0)):
        if count or pts > beginning(container, stream):
            seek_to_keyframe(container, stream, pts)
        packets, num_ready = _read_span(container, stream, span)
        if len({packet.pts for packet in packets}) == len(packets) == num_frames:
            return packets, num_ready
    raise NotCopyable(f"The span must hold {num_frames} packets, one a frame, got {len(packets)}.")


def _read_span(container: InputContainer, stream: VideoStream, span: Span) -> tuple[list[Packet], int]:
    packets: list[Packet] = []
    num_bytes = num_others = 0
    num_ready: int | None = None
    for packet in refused(container.demux(stream)):
        heartbeat.beat()
        if not packet.size:
            continue
        check_header(packet)
        if packet.pts is None:
            raise NotCopyable("Copied packets must have a PTS, and one has none.")
        if packet.pts in range(span.start_pts, span.end_pts):
            if packet.is_discard or packet.is_corrupt:
                raise NotCopyable("Copied packets must be whole and shown, and one is not.")
            num_others, num_bytes = 0, num_bytes + packet.size
            packets.append(packet)
            if num_bytes > MAX_BYTES:
                raise NotCopyable(f"Packets copied between encoded frames must have at most {MAX_BYTES} bytes.")
            continue
        if packet.pts >= span.end_pts and num_ready is None:
            num_ready = len(packets)
        num_others += bool(packets) or packet.pts >= span.end_pts
        if num_others > REORDERED_PACKETS:
            break
    return packets, len(packets) if num_ready is None else num_ready


def _num_whole(packets: list[Packet], expected: list[int]) -> int:
    """The largest number of first packets that are the first of the expected frames."""
    latest, length = expected[0], 0
    for index, packet in enumerate(packets):
        latest = max(latest, packet.pts or 0)
        if latest == expected[index]:
            length = index + 1
    return length


def _begins_anew(packet: Packet, layout: UnitLayout) -> bool:
    """True for a keyframe behind which no frame needs one before it, but those that are shown before it."""
    if not packet.is_keyframe:
        return False
    types = {unit_type(layout.codec, unit) for unit in layout.units(bytes(packet))}
    return _H264_IDR in types if layout.codec == "h264" else not types.isdisjoint(_HEVC_CLOSED)


def _check_unit(unit: bytes, layout: UnitLayout) -> None:
    if is_parameter_set(layout.codec, unit) and unit not in layout.parameter_sets:
        raise NotCopyable("Copied frames must have the header of the stream's first ones, got another one.")
    kind = unit_type(layout.codec, unit)
    is_layered = kind in _H264_LAYERS if layout.codec == "h264" else kind in _DOLBY_VISION or _hevc_layer(unit) > 0
    if is_layered:
        raise NotCopyable("Packets copied between encoded frames must have one layer, and one has several.")


def _hevc_layer(unit: bytes) -> int:
    return (unit[0] & 1) << 5 | unit[1] >> 3 if len(unit) > 1 else 0


def _cut_off(unit: bytes) -> bytes:
    """The unit of a keyframe of HEVC whose leading frames are left out: the same slice by another type."""
    kind = unit_type("hevc", unit)
    if kind not in _HEVC_SLICES:
        return unit
    return bytes([unit[0] & 0x81 | (_HEVC_IDR_N_LP if kind in _HEVC_IDR else _HEVC_BLA_N_LP) << 1]) + unit[1:]
