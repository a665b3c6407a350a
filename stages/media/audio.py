"""The audio of a span: packets are copied where MP4 can hold their codec, else encoded to AAC."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import Any

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from stages import heartbeat
from stages.media.stream_copy import rebase_packets, seek_to_keyframe
from stages.tasks import Span

COPYABLE_AUDIO_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AAC_FALLBACK_RATE_HZ = 48000
PREROLL_S = Fraction(1, 2)
"""Audio decoders need packets before the first wanted sample."""


def add_audio(source: InputContainer, output: OutputContainer, span: Span) -> Iterator[Packet]:
    """Packets of the source's first audio stream that overlap the span; their time counts from its start.

    Adds the stream to the output at once, unless the span has no audio. Packets are copied whole: the first may begin
    before the span, and players skip that part by the edit list.
    """
    stream = _audio_stream(source)
    if stream is None or stream.codec_context.codec.canonical_name not in COPYABLE_AUDIO_CODECS:
        return add_encoded_audio(source, output, span)
    start, end = span.start_pts * span.time_base, span.end_pts * span.time_base
    return _copy(_overlapping(_packets_from(source, stream, start), start, end), stream, output, start)


def add_encoded_audio(source: InputContainer, output: OutputContainer, span: Span) -> Iterator[Packet]:
    """As `add_audio`, but always encoded. Packets of damaged audio that do not decode become silence."""
    stream = _audio_stream(source)
    if stream is None:
        return iter(())
    start, end = span.start_pts * span.time_base, span.end_pts * span.time_base
    return _encode(_overlapping(_decode(_packets_from(source, stream, start)), start, end), output, start)


def _audio_stream(source: InputContainer) -> AudioStream | None:
    return next((stream for stream in source.streams.audio if stream.codec_context and stream.time_base), None)


def _packets_from(source: InputContainer, stream: AudioStream, start: Fraction) -> Iterator[Packet]:
    """Packets from a little before `start`, in seconds; from the beginning where the container cannot seek."""
    seek_to_keyframe(source, stream, int((start - PREROLL_S) / (stream.time_base or 1)))
    with suppress(FFmpegError):  # where the container breaks, the audio ends
        for packet in source.demux(stream):
            heartbeat.beat()
            if packet.size and packet.pts is not None:
                yield packet


def _decode(packets: Iterator[Packet]) -> Iterator[AudioFrame]:
    for packet in packets:
        with suppress(FFmpegError):  # a damaged packet is a gap, filled with silence
            yield from packet.decode()


def _overlapping(parts: Iterator[Any], start: Fraction, end: Fraction) -> Iterator[Any]:
    """Packets or frames that overlap [start, end), in seconds."""
    for part in parts:
        if part.pts is None:
            continue
        begins = part.pts * part.time_base
        if begins >= end:
            return
        # Matroska may have no duration: only the part's start then counts.
        length = (part.duration or 0) * part.time_base
        if begins + length > start or begins >= start:
            yield part


def _copy(packets: Iterator[Packet], stream: AudioStream, output: OutputContainer, start: Fraction) -> Iterator[Packet]:
    first = next(packets, None)
    if first is None:
        return iter(())
    track = output.add_stream_from_template(stream, opaque=True)
    return rebase_packets(chain([first], packets), track, round(start / first.time_base))


def _encode(frames: Iterator[AudioFrame], output: OutputContainer, start: Fraction) -> Iterator[Packet]:
    first = next(frames, None)
    if first is None:
        return iter(())
    rate = first.sample_rate if first.sample_rate in AAC_RATES_HZ else AAC_FALLBACK_RATE_HZ
    layout = "mono" if first.layout.nb_channels == 1 else "stereo"
    track = output.add_stream("aac", rate=rate, layout=layout)
    # async: gaps are filled with silence, so that audio stays in sync with the video.
    resampler = AudioResampler("fltp", layout, rate, options={"async": "1"})
    return _encode_aac(chain([first], frames), resampler, track, start)


def _encode_aac(
    frames: Iterator[AudioFrame], resampler: AudioResampler, track: AudioStream, start: Fraction
) -> Iterator[Packet]:
    for frame in chain(frames, [None]):
        if frame is not None:
            frame.pts = (frame.pts or 0) - round(start / (frame.time_base or 1))
        for ready in resampler.resample(frame):
            yield from track.encode(ready)
    yield from track.encode(None)
