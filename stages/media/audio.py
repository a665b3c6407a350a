"""The audio of a span: packets are copied where MP4 can hold them as they are, else encoded to AAC."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from stages.errors import CurationError
from stages.media.sound_source import Sound, SoundSource
from stages.media.stream_copy import rebase_packets

COPY_PREROLL_S = {
    "aac": Fraction(1, 20),
    "mp3": Fraction(1, 4),
    "ac3": Fraction(1, 20),
    "eac3": Fraction(1, 20),
    "opus": Fraction(1, 10),
    "flac": Fraction(0),
    "alac": Fraction(0),
}
"""Codecs copied into MP4, with what their decoders read before the first right sample: a packet that overlaps the next
one, MP3's reservoir of bits, Opus' 80 ms. An edit list makes players skip it."""
FREE_STANDING_CODECS = frozenset({"mp3", "ac3", "eac3"})
"""Each packet tells rate and layout by itself, so that they may change between any two."""
AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AAC_FALLBACK_RATE_HZ = 48000
MAX_DEVIATION_S = Fraction(1, 100)
"""Sound that begins later or earlier than the sound before it ends, by more: a gap, or an overlap. Containers round
times to a millisecond; the shortest packet that can be missing from most streams lasts 20 ms."""
COARSE_UNIT_S = Fraction(1, 1000)
"""Times in a longer unit get a finer one: AVI counts whole packets of sound, which may last as long as a frame."""
SILENCE_SAMPLES = 48000
"""Silence is encoded in blocks of so many samples."""

Samples = NDArray[np.float32]
"""Float32 ``[channels, samples]``."""


class SoundNotCopyable(CurationError):
    """Copied packets would not play as the source does."""


def add_audio(
    source: SoundSource, output: OutputContainer, *, copied_codecs: Collection[str] = COPY_PREROLL_S
) -> Iterator[Packet]:
    """Packets of the source's sound that overlap the span; their time counts from its start.

    Adds the stream to the output at once, unless the span has no audio. Packets are copied whole: the first ones begin
    before the span, and players skip that part by the edit list.

    Raises:
        SoundNotCopyable: while the packets are read: they overlap, leave gaps, or rate or layout change.
    """
    sound = source.sound()
    if sound is None:
        return iter(())
    codec = sound.stream.codec_context.codec.canonical_name
    if codec not in copied_codecs:
        return _encode(source, sound, output)
    packets = _overlapping(sound.packets, sound.start - COPY_PREROLL_S[codec], sound.end)
    return _copy(source, _checked(packets, sound.stream), sound, output)


def add_encoded_audio(source: SoundSource, output: OutputContainer) -> Iterator[Packet]:
    """As `add_audio`, but always encoded. Packets of damaged audio that do not decode become silence."""
    sound = source.sound()
    return iter(()) if sound is None else _encode(source, sound, output)


def add_no_audio(source: SoundSource, output: OutputContainer) -> Iterator[Packet]:
    """No packets, for a clip whose sound cannot be written."""
    del output
    source.method = "lost"
    return iter(())


def _overlapping(packets: Iterator[Packet], start: Fraction, end: Fraction) -> Iterator[Packet]:
    """Packets that overlap [start, end), in seconds."""
    for packet in packets:
        begins = (packet.pts or 0) * packet.time_base
        if begins >= end:
            return
        # Matroska may have no duration: only the packet's start then counts.
        if begins + (packet.duration or 0) * packet.time_base > start or begins >= start:
            yield packet


def _checked(packets: Iterator[Packet], stream: AudioStream) -> Iterator[Packet]:
    """The same packets.

    Raises:
        SoundNotCopyable: a packet does not follow the one before it in time, or has another rate or layout.
    """
    is_free_standing = stream.codec_context.codec.canonical_name in FREE_STANDING_CODECS
    may_change = is_free_standing or stream.container.format.name in ("mpegts", "mpeg")
    expected: int | None = None
    layouts: set[tuple[int, str]] = set()
    for packet in packets:
        if expected is not None and abs((packet.pts or 0) - expected) * packet.time_base > MAX_DEVIATION_S:
            raise SoundNotCopyable("The packets of copied sound must follow one another, got a gap or an overlap.")
        expected = (packet.pts or 0) + packet.duration if packet.duration else None
        if packet.has_sidedata("new_extradata"):
            raise SoundNotCopyable("Copied sound must have one header, got another one in the middle.")
        if may_change:
            with suppress(FFmpegError):  # a damaged packet is copied
                layouts |= {(frame.sample_rate, frame.layout.name) for frame in _samples(packet)}
        if len(layouts) > 1:
            raise SoundNotCopyable(f"Copied sound must have one rate and layout, got {sorted(layouts)}.")
        yield packet


def _copy(source: SoundSource, packets: Iterator[Packet], sound: Sound, output: OutputContainer) -> Iterator[Packet]:
    first = next(packets, None)
    if first is None:
        return iter(())
    source.method = "copy"
    track = output.add_stream_from_template(sound.stream, opaque=True)
    unit = first.time_base if first.time_base <= COARSE_UNIT_S else Fraction(1, sound.stream.rate)
    timed = (_in_units(packet, unit) for packet in chain([first], packets))
    return rebase_packets(timed, track, round(sound.start / unit))


def _in_units(packet: Packet, unit: Fraction) -> Packet:
    """The packet with its times in a finer unit."""
    if packet.time_base != unit:
        scale = packet.time_base / unit
        packet.pts = round((packet.pts or 0) * scale)
        packet.dts = round(packet.dts * scale) if packet.dts is not None else None
        packet.duration = round((packet.duration or 0) * scale)
        packet.time_base = unit
    return packet


def _encode(source: SoundSource, sound: Sound, output: OutputContainer) -> Iterator[Packet]:
    frames = _decode(sound)
    first = next(frames, None)
    if first is None:
        return iter(())
    source.method = "encode"
    rate = first.sample_rate if first.sample_rate in AAC_RATES_HZ else AAC_FALLBACK_RATE_HZ
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    track = output.add_stream("aac", rate=rate, layout=layout)
    blocks = _SampleTimeline(sound, rate, layout).blocks(chain([first], frames))
    return _encode_aac(blocks, track, layout)


def _samples(packet: Packet) -> list[AudioFrame]:
    return cast(list[AudioFrame], packet.decode())


def _decode(sound: Sound) -> Iterator[AudioFrame]:
    """Frames that overlap the span. A packet that does not decode is a gap, filled with silence."""
    for packet in sound.packets:
        if (packet.pts or 0) * packet.time_base >= sound.end:
            return
        with suppress(FFmpegError):
            for frame in _samples(packet):
                if frame.pts is not None and _end_s(frame) > sound.start:
                    yield frame


def _end_s(frame: AudioFrame) -> Fraction:
    return (frame.pts or 0) * (frame.time_base or 1) + Fraction(frame.samples, frame.sample_rate)


class _SampleTimeline:
    """Puts decoded sound where it belongs in the span, sample by sample: silence in gaps, no sample twice.

    Args:
        sound: of the span.
        rate: of the result.
        layout: of the result.
    """

    def __init__(self, sound: Sound, rate: int, layout: str) -> None:
        self._rate, self._layout = rate, layout
        self._start = sound.start
        self._length = round((sound.end - sound.start) * rate)
        self._num_written = 0
        self._format: tuple[int, str, str] | None = None
        self._resampler: AudioResampler | None = None
        self._next = 0
        """Position of the next resampled sample; before `_num_written` where sound overlaps."""
        self._expected_s = Fraction(0)

    def blocks(self, frames: Iterator[AudioFrame]) -> Iterator[Samples]:
        """The sound from the start of the span on, without gaps, to its end or that of the sound."""
        for frame in frames:
            begins = (frame.pts or 0) * (frame.time_base or 1) - self._start
            format_ = (frame.sample_rate, frame.layout.name, frame.format.name)
            if format_ != self._format or abs(begins - self._expected_s) > MAX_DEVIATION_S:
                yield from self._placed(None)
                self._format, self._expected_s = format_, begins
                self._resampler = AudioResampler("fltp", self._layout, self._rate)
                self._next = round(begins * self._rate)
            self._expected_s += Fraction(frame.samples, frame.sample_rate)
            frame.pts = None  # the resampler would fill gaps by rules of its own
            yield from self._placed(frame)
        yield from self._placed(None)

    def _placed(self, frame: AudioFrame | None) -> Iterator[Samples]:
        """What the resampler makes of the frame, or still holds, with the silence before it."""
        for resampled in self._resampler.resample(frame) if self._resampler else ():
            samples = resampled.to_ndarray().astype(np.float32, copy=False)
            yield from self._silence_until(min(self._next, self._length), len(samples))
            skipped = max(0, self._num_written - self._next)
            self._next += samples.shape[1]
            kept = samples[:, skipped : samples.shape[1] - max(0, self._next - self._length)]
            self._num_written += kept.shape[1]
            yield kept

    def _silence_until(self, position: int, num_channels: int) -> Iterator[Samples]:
        while self._num_written < position:
            length = min(position - self._num_written, SILENCE_SAMPLES)
            self._num_written += length
            yield np.zeros((num_channels, length), np.float32)


def _encode_aac(blocks: Iterator[Samples], track: AudioStream, layout: str) -> Iterator[Packet]:
    position = 0
    for samples in blocks:
        if samples.shape[1]:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = track.rate, Fraction(1, track.rate)
            frame.pts, position = position, position + samples.shape[1]
            yield from track.encode(frame)
    yield from track.encode(None)
