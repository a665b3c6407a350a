"""Facts of a clip's file, read from the file after it was written."""

import hashlib
import itertools
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from stages.media.colour import HDR_TRANSFERS
from stages.media.mp4_boxes import track_of
from stages.media.orientation import Orientation
from stages.tasks import Row

MAX_RATE_DENOMINATOR = 1001
MAX_JITTER_S = Fraction(11, 10_000)
"""Matroska and FLV round times to a millisecond, so that frames at a constant rate are up to that much apart."""

# As ffprobe prints them; other numbers of ISO/IEC 23091-2 are written as numbers.
_PRIMARIES: Mapping[int, str] = {
    **{1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020"},
    **{10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213"},
}
_TRANSFERS: Mapping[int, str] = {
    **{1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4"},
    **{13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67"},
}
_MATRICES: Mapping[int, str] = {
    **{0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco"},
    **{9: "bt2020nc", 10: "bt2020c"},
}
_RANGES: Mapping[int, str] = {1: "tv", 2: "pc"}
_UNSPECIFIED = 2
"""Of primaries, transfer and matrix. A range that is not specified is 0."""


def read_clip_facts(path: str) -> Row:
    """Facts of a local MP4 as it was written, see the columns of `dataset`.

    Width and height are those of the coded picture, before pixel aspect and rotation, as a decoder gives it. The rate
    is frames over the time that they are shown; it is variable where the times between frames differ by more than a
    millisecond, which the rounding of a constant rate may make.

    Raises:
        FFmpegError: it is no video file.
    """
    with av.open(path) as container:
        video = container.streams.video[0]
        sound = container.streams.audio[0] if container.streams.audio else None
        times, sound_s = _packet_times(container, video, sound)
        facts = {**_picture_facts(video), **_time_facts(video, times, _length_s(path, video))}
    orientation = _orientation(path)
    facts |= {"rotation": orientation.degrees, "is_mirrored": orientation.is_mirrored}
    sound_facts = {
        "audio_codec": sound.codec_context.codec.canonical_name if sound else None,
        "audio_rate_hz": sound.codec_context.sample_rate if sound else None,
        "audio_channels": sound.codec_context.layout.nb_channels if sound else None,
        "audio_duration_s": sound_s,
    }
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = file.tell()
    return {**facts, **sound_facts, "bytes": size_bytes, "sha256": sha256}


def _picture_facts(video: VideoStream) -> Row:
    context, picture_format = video.codec_context, video.format
    return {
        "width": context.width,
        "height": context.height,
        "sample_aspect_ratio": "{0.numerator}:{0.denominator}".format(video.sample_aspect_ratio or Fraction(1)),
        "codec": context.codec.canonical_name,
        "profile": context.profile,
        "pixel_format": picture_format.name,
        "bit_depth": picture_format.components[0].bits,
        "is_hdr": int(context.color_trc) in HDR_TRANSFERS,
        "color_range": _name(_RANGES, int(context.color_range), unspecified=0),
        "color_space": _name(_MATRICES, int(context.colorspace)),
        "color_transfer": _name(_TRANSFERS, int(context.color_trc)),
        "color_primaries": _name(_PRIMARIES, int(context.color_primaries)),
    }


def _name(names: Mapping[int, str], number: int, *, unspecified: int = _UNSPECIFIED) -> str | None:
    """The name of a code point; the number where it has none, and None where it is unspecified."""
    return None if number == unspecified else names.get(number, str(number))


def _packet_times(
    container: InputContainer, video: VideoStream, sound: AudioStream | None
) -> tuple[list[tuple[int, int]], float | None]:
    """PTS and duration of the video's packets in order of PTS, in its time base, and the length of the sound."""
    times: list[tuple[int, int]] = []
    sound_parts: list[tuple[Fraction, Fraction]] = []
    for packet in container.demux(*([video, sound] if sound else [video])):
        if packet.pts is None:  # the flush at the end
            continue
        if packet.stream is video:
            times.append((packet.pts, packet.duration or 0))
        else:
            begin = packet.pts * packet.time_base
            sound_parts.append((begin, begin + (packet.duration or 0) * packet.time_base))
    if not sound_parts:
        return sorted(times), None
    # What lies before 0 is cut off by the edit list.
    length = max(end for _, end in sound_parts) - max(Fraction(0), min(begin for begin, _ in sound_parts))
    return sorted(times), float(length)


def _length_s(path: str, video: VideoStream) -> Fraction:
    """Seconds for which the pictures are shown; 0 where the header does not tell.

    FFmpeg adds up the distances of decoding times. With B-frames at a variable rate that is less than what the edit
    list tells, in milliseconds. It begins with the first picture.
    """
    listed = (video.duration or 0) * (video.time_base or Fraction(1))
    with open(path, "rb") as file, suppress(struct.error, IndexError):
        track = track_of(file, os.fstat(file.fileno()).st_size, video.id)
        if track is not None and track.edited_s is not None and track.edited_s - listed > MAX_JITTER_S:
            return track.edited_s
    return listed


def _time_facts(video: VideoStream, times: list[tuple[int, int]], length_s: Fraction) -> Row:
    time_base = video.time_base or Fraction(1)
    starts = [pts for pts, _ in times]
    length_s = length_s or (starts[-1] + times[-1][1] - starts[0]) * time_base
    distances = [following - pts for pts, following in itertools.pairwise(starts)]
    rate = len(times) / length_s if length_s else None
    return {
        "num_frames": len(times),
        "duration_s": float(length_s),
        "average_rate": str(rate.limit_denominator(MAX_RATE_DENOMINATOR)) if rate else None,
        "is_variable_rate": bool(distances) and (max(distances) - min(distances)) * time_base > MAX_JITTER_S,
    }


def _orientation(path: str) -> Orientation:
    """How players turn the picture. PyAV tells it of decoded frames only."""
    with av.open(path) as container:
        return next((Orientation.of(frame) for frame in container.decode(video=0)), Orientation())
