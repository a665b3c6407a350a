"""Divides a long video into sections that decode each by itself. Of its packets alone: nothing is decoded.

A section begins at a keyframe before which, in the file, no packet is shown later, and behind which none is shown
earlier. So its frames are those of its packets:

    file      K0 P3 B1 B2 P6 B4 B5 | K7 P10 B8 B9 ...      a section may begin at 7
    file      K0 P3 B1 B2 K6 B4 B5 | ...                   not at 6: 4 and 5 are shown before it and decoded after it

`Indivisible` tells of streams in which seeking may lie: those are decoded in one pass.
"""

from array import array
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import CurationError
from stages.media.container import video_stream
from stages.media.decode_log import DecodeLog
from stages.media.frame_times import MAX_PTS
from stages.media.gaps import NO_PTS, Ints
from stages.media.idr_pictures import begins_with_idr, unit_length_bytes
from stages.media.packet_times import PacketTimes
from stages.media.sound_damage import SoundLog

SECTION_FORMATS = ("mov", "matroska")
"""Beginnings of FFmpeg's names of containers that have an index."""
SECTION_CODECS = frozenset({"h264"})
"""Codecs whose decoders tell of damage, and of which it is known where they start anew. Damage of HEVC, VP8 and AV1
is told from the whole stream."""
TAIL_S = 0.13
MIN_TAIL_FRAMES = 2
"""A section is decoded for so long beyond its end, and at least for so many frames: measures look at neighbours, and
at pairs of frames up to an eighth of a second apart."""
REORDERED_FRAMES = 18
"""A decoder may hold back so many frames, so that as many more packets are decoded."""
MAX_REPEATED_SHARE = 0.02
"""Of a section's frames those that are decoded beyond its end, at most. Shorter sections are joined."""


class Indivisible(CurationError):
    """The video must be decoded in one pass; the message says why."""


class VideoPackets(NamedTuple):
    """The packets of a video stream in file order.

    Attributes:
        pts: int64 ``[N]``, each once.
        dts: int64 ``[N]``, `NO_PTS` where unknown.
        is_key: bool ``[N]``.
        is_entry: bool ``[N]``: keyframes at which a decoder starts anew.
    """

    pts: Ints
    dts: Ints
    is_key: NDArray[np.bool_]
    is_entry: NDArray[np.bool_]

    def log(self) -> DecodeLog:
        """What a decode of all of them tells of packets that are whole."""
        log = DecodeLog()
        for pts, dts, is_key in zip(self.pts.tolist(), self.dts.tolist(), self.is_key.tolist(), strict=True):
            log.add_packet(pts, None if dts == NO_PTS else dts, is_key=is_key)
        return log


class Section(NamedTuple):
    """Frames [start, end) of a video, by index in presentation order from 0.

    Attributes:
        start: first frame, where decoding begins.
        end: one past the last.
        stop: frames [end, stop) are decoded too, for what is measured of pairs of frames.
    """

    start: int
    end: int
    stop: int


def read_packets(container: InputContainer, last_entry: int) -> VideoPackets:
    """The packets of the video; the whole file is read, and nothing decoded.

    Args:
        container: from `open_video`, not yet read from.
        last_entry: time of the last keyframe at which a section may begin, from `last_indexed`.

    Raises:
        Indivisible: seeking may lie in such a stream.
        NoVideoStream: the container has no video stream.
        UnreadableSource: FFmpeg has no decoder for the stream.
    """
    stream = video_stream(container)
    length_bytes = unit_length_bytes(stream.codec_context.extradata or b"")
    packets = PacketTimes(container, stream)
    columns = array("q")
    try:
        for packet in packets.packets():
            heartbeat.beat()
            pts = _checked_pts(packet)
            is_entry = packet.is_keyframe and pts <= last_entry and begins_with_idr(bytes(packet), length_bytes)
            columns.extend((pts, NO_PTS if packet.dts is None else packet.dts, packet.is_keyframe, is_entry))
    except FFmpegError as error:
        raise Indivisible(f"The file cannot be read on: {error}") from error
    if packets.num_jumps or packets.num_headers or packets.num_untimed:
        raise Indivisible("Times or headers of the stream begin again.")
    pts, dts, is_key, is_entry = np.array(columns, np.int64).reshape(-1, 4).T.copy()
    if not len(pts) or np.any(np.diff(np.sort(pts)) <= 0):
        raise Indivisible("Frames have no times of their own.")
    if not is_entry[0]:
        raise Indivisible("The stream does not begin with a keyframe.")
    return VideoPackets(pts, dts, is_key > 0, is_entry > 0)


def read_sound(container: InputContainer, stream: VideoStream, sound: SoundLog) -> None:
    """Give a log the packets of its stream, as a decode of the video does; no picture is decoded.

    Args:
        container: from `open_video`, not yet read from.
        stream: of the video, whose times decide.
        sound: takes the packets of its stream.

    Raises:
        Indivisible: the file cannot be read on.
    """
    try:
        for packet in PacketTimes(container, stream, sound.stream).packets():
            heartbeat.beat()
            if packet.stream_index == sound.stream.index:
                sound.add(packet)
    except FFmpegError as error:
        raise Indivisible(f"The file cannot be read on: {error}") from error
    sound.finish()


def last_indexed(container: InputContainer) -> int:
    """The last time that the container's index lists, in the stream's time base. The container cannot be read then.

    Raises:
        Indivisible: it has none, or its codec is not decoded in sections.
        NoVideoStream: the container has no video stream.
        UnreadableSource: FFmpeg has no decoder for the stream.
    """
    stream = video_stream(container)
    name, codec = container.format.name, stream.codec_context.codec.canonical_name
    if not name.startswith(SECTION_FORMATS):
        raise Indivisible(f"The container {name} has no index.")
    if codec not in SECTION_CODECS:
        raise Indivisible(f"Streams of {codec} are decoded in one pass.")
    if name.startswith("mov"):
        if not stream.frames or len(stream.index_entries) != stream.frames:
            raise Indivisible("The file is fragmented: its header does not list all packets.")
        return MAX_PTS
    try:
        container.seek(stream.start_time or 0, stream=stream)  # FFmpeg reads the cues of Matroska at the first seek
    except FFmpegError as error:
        raise Indivisible(f"The file cannot be sought in: {error}") from error
    return max((each.timestamp for each in stream.index_entries), default=NO_PTS)


def _checked_pts(packet: Packet) -> int:
    if packet.is_corrupt:
        raise Indivisible("The file is damaged.")
    if packet.is_discard:
        raise Indivisible("An edit list hides packets.")
    if packet.pts is None:
        raise Indivisible("Packets have no times.")
    return packet.pts


def entry_frames(packets: VideoPackets) -> Ints:
    """Frames at which a section may begin, by index in presentation order, int64 ``[M]``; rises, 0 is the first."""
    latest_before = np.concatenate([[NO_PTS], np.maximum.accumulate(packets.pts)[:-1]])
    earliest_from = np.minimum.accumulate(packets.pts[::-1])[::-1]
    return np.flatnonzero(packets.is_entry & (latest_before < packets.pts) & (earliest_from >= packets.pts))


def divide(pts: Ints, entries: Ints, time_base: float, section_s: float) -> list[Section]:
    """Sections of about equal numbers of frames, in order, that cover all; one where the video is not divided.

    Args:
        pts: of all frames, rising.
        entries: from `entry_frames`.
        time_base: seconds per unit of PTS.
        section_s: least mean length of a section, above 0.
    """
    num_frames = len(pts)
    length_s = float(pts[-1] - pts[0]) * time_base * num_frames / max(1, num_frames - 1)  # with the last frame
    num_sections = int(length_s / section_s + 1e-6)
    starts = [0]
    for number in range(1, num_sections):
        target = number * num_frames // num_sections
        start = int(entries[np.abs(entries - target).argmin()])
        if _is_long_enough(pts, starts[-1], start, time_base):
            starts.append(start)
    while len(starts) > 1 and not _is_long_enough(pts, starts[-1], num_frames, time_base):
        starts.pop()
    ends = [*starts[1:], num_frames]
    return [Section(start, end, _stop(pts, end, time_base)) for start, end in zip(starts, ends, strict=True)]


def _stop(pts: Ints, end: int, time_base: float) -> int:
    """One past the last frame that a section's measures need."""
    if end == len(pts):
        return end
    late = int(np.searchsorted(pts, pts[end - 1] + TAIL_S / time_base)) + 1
    return min(len(pts), max(end + MIN_TAIL_FRAMES, late))


def _is_long_enough(pts: Ints, start: int, end: int, time_base: float) -> bool:
    repeated = _stop(pts, end, time_base) - end + REORDERED_FRAMES
    return repeated <= MAX_REPEATED_SHARE * (end - start)
