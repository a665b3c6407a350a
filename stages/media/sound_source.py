"""Reads the sound that belongs to a span of a source's video."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import ceil

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from stages import heartbeat
from stages.media.container import open_video, video_stream
from stages.media.packet_times import PacketTimes
from stages.media.sound_times import SoundTimes
from stages.media.stream_choice import best_audio_stream
from stages.media.stream_copy import SEEK_BACK_S, beginning
from stages.tasks import Span

PREROLL_S = Fraction(1, 2)
"""Audio decoders need packets before the first wanted sample."""
OPUS_RATE_HZ = 48000


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of a span.

    Attributes:
        stream: that the packets belong to.
        packets: with rising times as far as the source has them, from `PREROLL_S` before the span on.
        start: of the span on the clock of the packets, in seconds.
        end: of the span.
    """

    stream: AudioStream
    packets: Iterator[Packet]
    start: Fraction
    end: Fraction


class SoundSource:
    """A source whose sound is read for one span. Used in a `with` block, which closes what was opened.

    Args:
        uri: the source.
        span: in PTS of its video stream.
        may_seek: false where the video's times are not those of the file, so that it is read from its beginning.
    """

    def __init__(self, uri: str, span: Span, *, may_seek: bool = True) -> None:
        self._uri = uri
        self._may_seek = may_seek
        self._start, self._end = span.start_pts * span.time_base, span.end_pts * span.time_base
        self._stack = ExitStack()
        self.method = "none"
        """What is made of the sound, as in `ClipFile.sound`."""

    def __enter__(self) -> "SoundSource":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def sound(self) -> Sound | None:
        """The sound of the span; None where the source has none.

        Raises:
            SourceError: as `open_video`.
        """
        targets = [self._start - PREROLL_S, self._start - SEEK_BACK_S] if self._may_seek else []
        for target in (*targets, None):
            container = self._stack.enter_context(open_video(self._uri))
            video = video_stream(container)
            stream = best_audio_stream(container, video)
            if stream is None:
                return None
            if target is None or int(target / (stream.time_base or 1)) <= beginning(container, stream):
                return self._sound(stream, _timed(_from_beginning(container, video, stream)), video)
            packets = _timed(_after_seek(container, stream, target))
            first = next(packets, None)
            if first is not None and (first.pts or 0) * first.time_base <= self._start:
                return self._sound(stream, chain([first], packets), video)
            self._stack.close()
        return None

    def _sound(self, stream: AudioStream, packets: Iterator[Packet], video: VideoStream) -> Sound:
        late = _written_early_s(stream, video)
        start, end = self._start - late, self._end - late
        return Sound(stream, _from(packets, start - PREROLL_S), start, end)


def _after_seek(container: InputContainer, stream: AudioStream, target: Fraction) -> Iterator[Packet]:
    """Packets from before `target`, in seconds; none where the container cannot seek."""
    with suppress(FFmpegError):  # where the container breaks, the audio ends
        container.seek(int(target / (stream.time_base or 1)), stream=stream)
        for packet in container.demux(stream):
            heartbeat.beat()
            if packet.size:
                yield packet


def _from_beginning(container: InputContainer, video: VideoStream, stream: AudioStream) -> Iterator[Packet]:
    """All packets of the sound, on the clock of the video's corrected times."""
    with suppress(FFmpegError):
        for packet in PacketTimes(container, video, stream).packets():
            heartbeat.beat()
            if packet.stream_index == stream.index:
                yield packet


def _timed(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets, each with its time; without those of which none is known."""
    return (packet for packet in SoundTimes().spread(packets) if packet.pts is not None)


def _from(packets: Iterator[Packet], start: Fraction) -> Iterator[Packet]:
    """Packets that end after `start`, in seconds; one of unknown length ends where the next begins."""
    unknown: Packet | None = None
    for packet in packets:
        begins = (packet.pts or 0) * packet.time_base
        if unknown is not None and begins > start:
            yield unknown
        unknown = None if packet.duration else packet
        if packet.duration and begins + packet.duration * packet.time_base > start:
            yield packet
    if unknown is not None:
        yield unknown


def _written_early_s(stream: AudioStream, video: VideoStream) -> Fraction:
    """By how much Matroska's times of the sound are too early, in seconds.

    FFmpeg before 6 moves all streams so that Opus does not begin before 0, and forgets to add the CodecDelay that it
    writes: its files have the video at exactly that delay, and the sound too early by it.
    """
    container, extradata = stream.container, stream.codec_context.extradata
    if stream.codec_context.codec.canonical_name != "opus" or not extradata or len(extradata) < 12:
        return Fraction(0)
    delay = Fraction(int.from_bytes(extradata[10:12], "little"), OPUS_RATE_HZ)
    time_base = video.time_base or Fraction(1)
    delay_pts = ceil(delay / time_base)
    is_lavf = container.metadata.get("ENCODER", "").startswith("Lavf") and "matroska" in container.format.name
    return delay_pts * time_base if is_lavf and video.start_time == delay_pts else Fraction(0)
