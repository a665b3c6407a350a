"""The length of a video in a container whose times may begin again: the sum of the recordings that were joined.

A small file is read whole, and so is Matroska of several segments, whose first header cannot be right. Of a larger file
times are read at places, close together at the start, where a short first recording would hide. Where they step back,
or ahead by far, the part between two is halved until it is small, and read:

    places     |  |    |         |         x         |      times   0 1 2   5   9   2   6      x: read between 9 and 2
"""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median

from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.video.stream import VideoStream

from stages.media.container import open_video, video_stream
from stages.media.ebml import SEGMENT, elements
from stages.media.header_file import header_file
from stages.media.packet_times import MAX_GAP_S, PacketTimes, default_step

NUM_PLACES = 16
UNUSUAL = 4
"""Time that goes ahead faster than usual by more than this factor, a byte, and by more than `MAX_GAP_S`, may jump."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of a file is read, in bytes.

    Attributes:
        whole: a file up to this size is read whole.
        flv: the same for FLV, in which FFmpeg cannot seek by bytes; a larger one is as long as its header says.
        part: a part between two places, and the end of a larger file.
    """

    whole: int = 1 << 24
    flv: int = 1 << 28
    part: int = 1 << 20


@dataclass(frozen=True, slots=True)
class _Place:
    """A packet in the file: where it begins, in bytes, and its decoding time."""

    byte: int
    dts: int


def joined_duration_s(uri: str, *, limits: ReadLimits | None = None) -> float | None:
    """Seconds that a player shows pictures; None where the container cannot begin anew, or does not tell.

    Raises:
        SourceError: as `open_video`.
    """
    limits = limits or ReadLimits()
    with open_video(uri) as container:
        stream = video_stream(container)
        if container.size <= _whole_bytes(container, limits):
            units = _units_of_whole(container, stream)
        elif Flags(container.format.flags) & Flags.ts_discont:
            units = _units_by_places(container, stream, limits.part)
        else:
            return None
        return None if units is None or stream.time_base is None else float(units * stream.time_base)


def _whole_bytes(container: InputContainer, limits: ReadLimits) -> int:
    """Up to which size the file is read whole."""
    name = container.format.name
    if name == "flv":
        return limits.flv
    if "matroska" in name:
        return container.size if _num_segments(container) > 1 else 0 if container.duration else limits.whole
    if name == "ogg":  # FFmpeg cannot seek from one of the joined files into another
        return container.size
    return limits.whole if Flags(container.format.flags) & Flags.ts_discont else 0


def _num_segments(container: InputContainer) -> int:
    """Segments of a Matroska file; 1 where the first one has no size, as in a live recording."""
    with header_file(container) as file, suppress(IndexError):  # the file ends within a header
        if file is not None:
            return sum(element == SEGMENT for element, _, _ in elements(file, 0, container.size))
    return 1


def _units_of_whole(container: InputContainer, stream: VideoStream) -> int | None:
    start, end = _shown(container, stream)
    return end - start if end is not None and start is not None else None


def _shown(container: InputContainer, stream: VideoStream) -> tuple[int | None, int | None]:
    """Least PTS of the packets that follow, and the end of the last one, as far as they can be read."""
    start: int | None = None
    end: int | None = None
    with suppress(FFmpegError):
        for packet in PacketTimes(container, stream).packets():
            if packet.pts is not None and not packet.is_discard:
                until = packet.pts + (packet.duration or default_step(stream))
                start = packet.pts if start is None else min(start, packet.pts)
                end = until if end is None else max(end, until)
    return start, end


def _units_by_places(container: InputContainer, stream: VideoStream, part_bytes: int) -> int | None:
    start = stream.start_time
    wanted = {container.size * number // NUM_PLACES for number in range(NUM_PLACES)}
    distance = container.size // NUM_PLACES
    while distance > part_bytes:
        distance //= 2
        wanted.add(distance)
    found = (_place(container, stream, byte) for byte in sorted({*wanted, container.size - part_bytes}))
    places = sorted({each.byte: each for each in found if each is not None}.values(), key=lambda each: each.byte)
    if start is None or len(places) < 2:
        return None
    usual = median(Fraction(after.dts - before.dts, after.byte - before.byte) for before, after in pairwise(places))
    jumps = _Jumps(container, stream, usual, part_bytes)
    moved = jumps.read(*places[:2]) + sum(jumps.between(*pair) for pair in pairwise(places[1:]))
    container.seek(places[-1].byte, unsupported_byte_offset=True)
    _, end = _shown(container, stream)
    return end + moved - start if end is not None else None


def _place(container: InputContainer, stream: VideoStream, byte: int) -> _Place | None:
    """The first packet of the video from this byte on."""
    with suppress(FFmpegError):
        container.seek(byte, unsupported_byte_offset=True)
        for packet in container.demux(stream):
            if packet.dts is not None and packet.pos is not None:
                return _Place(packet.pos, packet.dts)
    return None


class _Jumps:
    """Finds by how much times jump between places.

    Args:
        container: that can seek by bytes.
        stream: the video.
        usual: units of time a byte.
        part_bytes: so much is read at once.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, usual: Fraction, part_bytes: int) -> None:
        self._container = container
        self._stream = stream
        self._usual = usual
        self._part_bytes = part_bytes

    def between(self, before: _Place, after: _Place) -> int:
        """What is to be added to the times behind `after`, so that they go on from those before."""
        step, num_bytes = after.dts - before.dts, after.byte - before.byte
        longest = MAX_GAP_S / (self._stream.time_base or Fraction(1)), UNUSUAL * self._usual * num_bytes
        if 0 <= step <= max(longest):
            return 0
        middle = _place(self._container, self._stream, before.byte + num_bytes // 2)
        if num_bytes <= self._part_bytes or middle is None or not before.byte < middle.byte < after.byte:
            return self.read(before, after)
        return self.between(before, middle) + self.between(middle, after)

    def read(self, before: _Place, after: _Place) -> int:
        """As `between`; all packets are read."""
        self._container.seek(before.byte, unsupported_byte_offset=True)
        times = PacketTimes(self._container, self._stream)
        offset = 0
        for packet in times.packets():
            if packet.pos is None or packet.pos > after.byte:
                break
            offset = times.offset
        return offset
