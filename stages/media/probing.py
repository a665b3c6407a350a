"""Probes a source video: facts from its header, its index and its first frame, without reading the whole file."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from stages.errors import CorruptStream
from stages.media.colour import HDR_TRANSFERS
from stages.media.container import open_video, video_stream
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.frame_times import declared_end
from stages.media.joined_duration import joined_duration_s
from stages.media.orientation import Orientation
from stages.media.stream_choice import best_audio_stream, frame_rate, is_rate_told
from stages.media.upright import displayed_size
from stages.tasks import Row, Size

TAIL_READ_BYTES = (1 << 20, 1 << 24)
"""Bytes read from the end of the file to find the last packet, where no header gives the duration."""

MIN_LATE_START_S = Fraction(1, 10)
"""What begins earlier begins with the file: codecs' delays move all times by some milliseconds."""
RATE_FRAMES = 50
"""Frames that are decoded to measure a rate that no header tells."""


@dataclass(frozen=True, slots=True)
class StreamIndex:
    """Facts from the index (sample table) of a container.

    Attributes:
        num_frames: presented frames; frames that an edit list discards are not counted.
        is_vfr: true if gaps between frames differ; null below three frames.
        keyframe_interval: mean distance of keyframes, in PTS; null below two keyframes.
    """

    num_frames: int
    is_vfr: bool | None
    keyframe_interval: Fraction | None


def probe(uri: str) -> Row:
    """The facts of a source, by column of the asset ``videos``; null where only reading the whole file would tell.

    Reads the header, the index where the header holds one (MP4, MOV, AVI), one frame (for its orientation), and the end
    of a file whose header gives no duration. A Matroska or MPEG file has no index of all frames, so its frame count,
    frame gaps and keyframe interval are null; the split phase counts exactly.

    Raises:
        UnreadableSource: the source is empty, is not a container, or has a damaged header.
        NoVideoStream: the source has no video stream.
        CorruptStream: no frame decodes, and no header gives the size of the frames.
        SourceGone: the source does not exist.
        StorageUnavailable: the store does not answer, or refuses.
    """
    with open_video(uri) as container:
        stream = video_stream(container)
        size, orientation, times = _first_frames(container, stream)
        index = read_index(stream)
        rate = (None if is_rate_told(stream) else _rate_of(times, stream.time_base)) or frame_rate(stream)
        time_base = stream.time_base or Fraction(1, av.time_base)
        audio = best_audio_stream(container, stream)
        return {
            "container": container.format.name,
            "codec": stream.codec_context.codec.canonical_name,
            "width": size.width,
            "height": size.height,
            "rotation": orientation.degrees,
            "is_mirrored": orientation.is_mirrored,
            "pixel_format": stream.pix_fmt,
            "bit_depth": av.VideoFormat(stream.pix_fmt).components[0].bits if stream.pix_fmt else None,
            "is_hdr": stream.color_trc in HDR_TRANSFERS,
            "time_base": _text(time_base),
            "average_rate": _text(rate) if rate else None,
            "display_aspect": _text(stream.sample_aspect_ratio or Fraction(1)),
            "audio_codec": audio.codec_context.codec.canonical_name if audio else None,
            "num_audio_streams": len(container.streams.audio),
            "num_video_streams": len(container.streams.video),
            **_count_columns(stream, index),
            "keyframe_interval_s": float(index.keyframe_interval * time_base)
            if index and index.keyframe_interval
            else None,
            "is_vfr": index.is_vfr if index else None,
            "duration_s": joined_duration_s(uri) or _duration_s(container, stream, time_base),
        }


def read_index(stream: VideoStream) -> StreamIndex | None:
    """The index from the header; None where the header holds none, or only part of the frames."""
    # An index that grows while the file is read (Matroska, MPEG, fragmented MP4) lacks the frames not read yet.
    if not stream.frames or len(stream.index_entries) != stream.frames:
        return None
    presented = [entry for entry in stream.index_entries if not entry.is_discard]
    times = [entry.timestamp for entry in presented]
    gaps = [after - before for before, after in pairwise(times)]
    keyframes = [entry.timestamp for entry in presented if entry.is_keyframe]
    return StreamIndex(
        num_frames=len(presented),
        # PTS are rounded to the time base, so the gaps of a constant rate may differ by one unit.
        is_vfr=max(gaps) - min(gaps) > 1 if len(gaps) > 1 else None,
        keyframe_interval=Fraction(keyframes[-1] - keyframes[0], len(keyframes) - 1) if len(keyframes) > 1 else None,
    )


def _count_columns(stream: VideoStream, index: StreamIndex | None) -> Row:
    if index:
        return {"num_frames": index.num_frames, "num_frames_source": "index"}
    # The header of a fragmented MP4 counts the frames before the first fragment alone.
    if stream.frames and len(stream.index_entries) <= stream.frames:
        return {"num_frames": stream.frames, "num_frames_source": "header"}
    return {"num_frames": None, "num_frames_source": None}


def _first_frames(container: InputContainer, stream: VideoStream) -> tuple[Size, Orientation, list[int]]:
    """Displayed size; the orientation that the container requests, which PyAV exposes on decoded frames only; and PTS.

    One frame is decoded, and `RATE_FRAMES` where the header does not tell the frame rate.
    """
    aspect = stream.sample_aspect_ratio
    decoded: list[DecodedFrame] = []
    try:
        for frame in islice(decode_frames(container), 1 if is_rate_told(stream) else RATE_FRAMES):
            decoded.append(frame)
    except CorruptStream:
        if not decoded and not stream.width * stream.height:
            raise
    if not decoded:
        # The split phase reports the fault.
        return Size(max(1, round(stream.width * (aspect or 1))), stream.height), Orientation(), []
    picture = decoded[0].frame
    return displayed_size(picture, aspect), Orientation.of(picture), [frame.pts for frame in decoded]


def _rate_of(times: list[int], time_base: Fraction | None) -> Fraction | None:
    """Mean frame rate of the first frames."""
    if len(times) < 2 or time_base is None:
        return None
    return ((len(times) - 1) / ((times[-1] - times[0]) * time_base)).limit_denominator(1001)


def _duration_s(container: InputContainer, stream: VideoStream, time_base: Fraction) -> float | None:
    """Seconds for which pictures are shown, as far as headers or the end of the file tell.

    Matroska has the length of its longest stream, and in a tag where each of them ends.
    """
    start, whole = stream.start_time or 0, Fraction(container.duration or 0, av.time_base)
    declared = declared_end(stream)
    if (
        declared is not None
        and declared > start
        and (stream.duration or abs(declared * time_base - whole) > MIN_LATE_START_S)
    ):
        return float((declared - start) * time_base)
    if container.duration:
        return float(whole - _start_s(container, stream, time_base))
    end = _last_packet_end(container, stream)
    if end is None:
        return None
    return float((end - (stream.start_time or 0)) * time_base)


def _start_s(container: InputContainer, stream: VideoStream, time_base: Fraction) -> Fraction:
    """What the container's duration counts from, if not from its start: Matroska counts from time 0."""
    earliest = Fraction(min(0, container.start_time or 0), av.time_base)
    start = (stream.start_time or 0) * time_base
    is_late = MIN_LATE_START_S < start < Fraction(container.duration or 0, av.time_base)
    return start if is_late and "matroska" in container.format.name else earliest


def _last_packet_end(container: InputContainer, stream: VideoStream) -> int | None:
    """End PTS of the last packet, from the last bytes of the file."""
    for tail in TAIL_READ_BYTES:
        with suppress(FFmpegError):  # the format does not support seeking by bytes
            container.seek(max(0, container.size - tail), unsupported_byte_offset=True)
            ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
            if ends:
                return max(ends)
    return None


def _text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
