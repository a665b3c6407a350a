"""Gives the packets of a container times that go on where the container's begin again.

Recordings that were joined byte by byte, or made by an encoder that was restarted, have times that jump:

    raw       0 1 2 3 4 | 0 1 2 3          corrected   0 1 2 3 4 | 5 6 7 8

As the ffmpeg command does, the packets after a jump are moved by one offset for all streams, so that sound and pictures
stay together. The video decides on the offset, so that its times are the same whether sound is read with it or not.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from stages import heartbeat
from stages.media.stream_choice import frame_rate

MIN_STEP_BACK_S = Fraction(1, 10)
"""A decoding time that steps back by more begins again; FFmpeg has the same limit. Packets that only have a
presentation time, which steps back at each B-frame, are not judged."""
MAX_REORDERING_S = 1
"""The same limit for presentation times. Of Matroska, which has no others, FFmpeg guesses decoding times, and guesses
them wrong once time has begun again."""
MAX_GAP_S = 10
"""In a container whose clock may be set anew (MPEG), a longer gap is a jump, as for FFmpeg; elsewhere it is a gap."""
MAX_STEP_S = 1
"""A jump holds only where the next packet follows the first one by less; else that packet's time is damaged."""
SOUND_WAITS_S = 3
"""Sound whose times jump is held for so long, until those of the video jump too."""
LEADER_BONUS_S = Fraction(1, 4)
"""Sound after a jump of the video takes the video's offset, unless its own fits better by more."""
MAX_UNTIMED_PACKETS = 512
OGG_HEADERS = {"theora": lambda first: first[0] >= 0x80, "vp8": lambda first: first == b"OVP80"}
"""Tells by their first five bytes packets that hold no picture. Ogg has them again where files were joined."""
REORDERING_CODECS = frozenset({"h264", "hevc", "mpeg4"})
REORDERED_PACKETS = 16
"""No codec presents a frame later than so many packets after it."""


def default_step(stream: VideoStream) -> int:
    """The length of a frame by the header, in the stream's time base; 1/25 s where it tells none."""
    return max(1, round(1 / ((frame_rate(stream) or Fraction(25)) * (stream.time_base or Fraction(1, av.time_base)))))


def has_decoding_times_only(stream: VideoStream) -> bool:
    """True where presentation times are FFmpeg's guess: of AVI, which has none.

    It is wrong for H.264 and HEVC that are reordered, and for MPEG-4 with two frames in a packet. Decoders give a frame
    the decoding time of the packet that released it; these times rise by a frame's length.
    """
    codec = stream.codec_context.codec.canonical_name
    return stream.container.format.name == "avi" and codec in REORDERING_CODECS


def is_ogg_header(packet: Packet, codec: str) -> bool:
    """True for a packet of a joined Ogg file that describes the stream, and holds no picture."""
    is_header = OGG_HEADERS.get(codec)
    return is_header is not None and packet.stream.container.format.name == "ogg" and is_header(bytes(packet)[:5])


class _Clock:
    """Corrects the times of one stream's packets, and holds a packet back while it is not known whether time jumps."""

    def __init__(self, stream: Stream, step: int) -> None:
        self.time_base = stream.time_base or Fraction(1, av.time_base)
        self.offset = 0
        self.num_jumps = 0
        self.expected: int | None = None
        self._last = 0
        self._step = step
        self._held: list[Packet] = []
        has_settable_clock = bool(Flags(stream.container.format.flags) & Flags.ts_discont)
        self._max_gap = self.units(MAX_GAP_S) if has_settable_clock else None
        self._has_presentation_times_only = "matroska" in stream.container.format.name
        self._presented_until = 0

    def units(self, seconds: Fraction | int) -> int:
        return round(seconds / self.time_base)

    def push(self, packet: Packet) -> list[Packet]:
        """The packets that are ready, with corrected times: this one, those that were held, or none yet."""
        if self._held:
            return self._decide(packet)
        time = self._time(packet)
        # Packets that an edit list hides are only decoded; their times lie outside of what is shown, before or after.
        if packet.is_discard or time is None or self.expected is None or not self._jumps(time + self.offset):
            return [self._pass(packet)]
        self._held = [packet]
        return []

    @property
    def _is_by_presentation(self) -> bool:
        """Decoding times are not to be used any more."""
        return self._has_presentation_times_only and self.num_jumps > 0

    def _time(self, packet: Packet) -> int | None:
        return packet.pts if self._is_by_presentation else packet.dts

    def flush(self) -> list[Packet]:
        """The held packets, whose times are damaged, at the end of the stream."""
        held, self._held = self._held, []
        return [_untimed(packet) for packet in held]

    def _decide(self, packet: Packet) -> list[Packet]:
        """Whether the packet that is held begins a new count of time, or has a damaged time."""
        time, held = self._time(packet), self._held[0]
        if time is None:
            self._held.append(packet)
            return self.flush() if len(self._held) > REORDERED_PACKETS else []
        step = time - (self._time(held) or 0)
        earliest = -self.units(MAX_REORDERING_S) if self._has_presentation_times_only else 0
        if not earliest <= step <= self.units(MAX_STEP_S):
            return [*self.flush(), *self.push(packet)]
        if self._has_presentation_times_only:
            self.jump_to(self._presented_until - (held.pts or 0))
        else:
            self.jump_to((self.expected or 0) - (held.dts or 0))
        held, self._held = self._held, []
        return [self._pass(waiting) for waiting in (*held, packet)]

    def jump_to(self, offset: int) -> None:
        """Move the packets from now on by this offset."""
        self.offset = offset
        self.num_jumps += 1

    def _jumps(self, time: int) -> bool:
        if self._last - time > self.units(MAX_REORDERING_S if self._is_by_presentation else MIN_STEP_BACK_S):
            return True
        return self._max_gap is not None and time - (self.expected or 0) > self._max_gap

    def _pass(self, packet: Packet) -> Packet:
        if self.offset:
            packet.pts = packet.pts + self.offset if packet.pts is not None else None
            packet.dts = packet.dts + self.offset if packet.dts is not None else None
        if packet.is_discard:
            return packet
        duration = packet.duration or self._step
        if packet.pts is not None:
            self._presented_until = max(self._presented_until, packet.pts + duration)
        time = self._time(packet)
        if time is not None:
            self._last = max(self._last, time) if self._is_by_presentation else time
            self.expected = self._last + duration
        return packet


class _SoundClock(_Clock):
    """The clock of the sound, which follows that of the video."""

    def __init__(self, stream: AudioStream, leader: _Clock) -> None:
        super().__init__(stream, step=0)
        self._leader = leader
        self._leader_jumps = 0

    def push(self, packet: Packet) -> list[Packet]:
        """As of every clock. After a jump of the video, its offset is taken where it fits about as well."""
        if packet.is_discard:
            return [self._pass(packet)]
        if packet.dts is None or self.expected is None:
            return self._hold(packet) if self._held else [self._pass(packet)]
        if self._leader.num_jumps != self._leader_jumps:
            return self._follow(packet)
        if self._held or self._jumps(packet.dts + self.offset):
            return self._hold(packet)
        return [self._pass(packet)]

    def flush(self) -> list[Packet]:
        """The held packets: those of a long step go on where the sound before them ended, a short one is an overlap."""
        waiting, self._held = self._held, []
        if waiting:
            offset = (self.expected or 0) - (waiting[0].dts or 0)
            if abs(offset - self.offset) >= self.units(MAX_STEP_S):
                self.jump_to(offset)
        return [self._pass(each) for each in waiting]

    def _follow(self, packet: Packet) -> list[Packet]:
        """Take the leader's offset from the first of the held packets and this one on that it fits."""
        waiting, self._held = [*self._held, packet], []
        offset = self.units(self._leader.offset * self._leader.time_base)
        ready: list[Packet] = []
        for each in waiting:
            ahead = (each.dts if each.dts is not None else self.expected or 0) - (self.expected or 0)
            has_followed = self._leader_jumps == self._leader.num_jumps
            if not has_followed and abs(ahead + offset) <= abs(ahead + self.offset) + self.units(LEADER_BONUS_S):
                self._leader_jumps = self._leader.num_jumps
                self.jump_to(offset)
            ready.append(self._pass(each))
        return ready

    def _hold(self, packet: Packet) -> list[Packet]:
        self._held.append(packet)
        waited = packet.dts - (self._held[0].dts or 0) if packet.dts is not None else 0
        if 0 <= waited < self.units(SOUND_WAITS_S):
            return []
        if waited > 0:
            return self.flush()
        (damaged, *waiting), self._held = self._held, []
        return [_untimed(damaged), *(ready for each in waiting for ready in self.push(each))]


class PacketTimes:
    """Reads the packets of a video stream, and of an audio stream with it, with times that go on.

    Args:
        container: not yet read from, or after a seek.
        video: the stream whose times decide.
        audio: read with it; None for pictures alone.
    """

    def __init__(self, container: InputContainer, video: VideoStream, audio: AudioStream | None = None) -> None:
        self._container = container
        self._video = video
        self._audio = audio
        self._codec = video.codec_context.codec.canonical_name
        self._video_clock = _Clock(video, default_step(video))
        self.num_pictures = 0
        """Packets of the video that have been yielded."""
        self.num_headers = 0
        """How often one of them brought another header for the decoder."""
        self.num_untimed = 0
        """Packets without any time before and among the first with one: their frames come first."""
        self.first_pts: int | None = None
        """The least presentation time of the first packets; known where `num_untimed` is not 0."""

    @property
    def num_jumps(self) -> int:
        """How often the video's times have begun again until now."""
        return self._video_clock.num_jumps

    @property
    def offset(self) -> int:
        """By how much the video's times are moved now."""
        return self._video_clock.offset

    def packets(self) -> Iterator[Packet]:
        """The packets of both streams in file order, without empty ones."""
        clocks: dict[int, _Clock] = {self._video.index: self._video_clock}
        if self._audio is not None:
            clocks[self._audio.index] = _SoundClock(self._audio, self._video_clock)
        streams = (self._video, self._audio) if self._audio is not None else (self._video,)
        source = (packet for packet in self._container.demux(*streams) if packet.size)
        if self._codec in OGG_HEADERS:
            source = (_untimed(packet) if is_ogg_header(packet, self._codec) else packet for packet in source)
        for packet in self._counted(source):
            for ready in clocks[packet.stream_index].push(packet):
                if ready.stream_index == self._video.index:
                    self.num_headers += bool(self.num_pictures) and ready.has_sidedata("new_extradata")
                    self.num_pictures += 1
                yield ready
        for clock in clocks.values():
            yield from clock.flush()

    def packets_from(self, pts: int) -> Iterator[Packet]:
        """The packets of the video from the keyframe at or before this PTS on, and all that bring a header."""
        waiting: list[Packet] = []
        packets = self.packets()
        for packet in packets:
            heartbeat.beat()
            if packet.is_keyframe and packet.pts is not None and packet.pts <= pts:
                waiting = [each for each in waiting if each.has_sidedata("new_extradata")]
            waiting.append(packet)
            if packet.dts is not None and packet.dts > pts:
                break
        yield from waiting
        yield from packets

    def _counted(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The same packets; where the first ones of the video have no time, they are counted before they are yielded.

        Matroska gives no times to packets before 0, which a reordered packet of a later time may precede.
        """
        first: list[Packet] = []
        num_timed = 0
        for packet in packets:
            first.append(packet)
            if packet.stream_index == self._video.index:
                is_untimed = packet.dts is None and packet.pts is None
                self.num_untimed += is_untimed
                num_timed += not is_untimed
            if num_timed > (REORDERED_PACKETS if self.num_untimed else 0) or len(first) > MAX_UNTIMED_PACKETS:
                break
        times = [packet.pts for packet in first if packet.stream_index == self._video.index and packet.pts is not None]
        self.first_pts = min(times, default=None)
        yield from first
        yield from packets


def _untimed(packet: Packet) -> Packet:
    packet.pts = packet.dts = None
    return packet
