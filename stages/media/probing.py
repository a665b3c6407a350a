"""What a source video says of itself, from its header, its index and its first frame, without reading it through."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorTrc
from av.video.stream import VideoStream

from stages.errors import CorruptStream
from stages.media.container import open_video, video_stream
from stages.media.decode import decode_frames, displayed_size
from stages.tasks import Row, Size

TAILS_BYTES = (1 << 20, 1 << 24)
"""Read from the end in search of the last packet, where no header tells the duration."""

_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


@dataclass(frozen=True, slots=True)
class StreamIndex:
    """What a container's own table of frames tells.

    Attributes:
        num_frames: frames that are shown; those that an edit list hides are not counted.
        is_vfr: gaps between frames differ; null below three frames.
        keyframe_interval: mean distance of keyframes, in PTS; null below two.
    """

    num_frames: int
    is_vfr: bool | None
    keyframe_interval: Fraction | None


def probe(uri: str) -> Row:
    """The facts of a source, by column of the asset ``videos``; null where nothing short of reading it all tells.

    Reads the header, the index where one stands in the header (MP4, MOV, AVI), one frame (for its rotation), and the
    end of a file whose header names no duration. A Matroska or MPEG file holds no table of all frames, so its frame
    count, frame gaps and keyframe interval stay null; the split phase counts exactly.

    Raises:
        UnreadableSource: empty, no container, or its header is damaged.
        NoVideoStream: no moving pictures in it.
        CorruptStream: nothing of it decodes, and no header tells the size of its pictures.
        SourceGone: it is not there.
        StorageUnavailable: the store does not answer, or refuses.
    """
    with open_video(uri) as container:
        stream = video_stream(container)
        size, rotation = _picture(container, stream)
        index = read_index(stream)
        rate = stream.average_rate or stream.guessed_rate
        time_base = stream.time_base or Fraction(1, av.time_base)
        audio = container.streams.audio
        return {
            "container": container.format.name,
            "codec": stream.codec_context.codec.canonical_name,
            "width": size.width,
            "height": size.height,
            "rotation": rotation,
            "pixel_format": stream.pix_fmt,
            "bit_depth": av.VideoFormat(stream.pix_fmt).components[0].bits if stream.pix_fmt else None,
            "is_hdr": stream.color_trc in _HDR,
            "time_base": _text(time_base),
            "average_rate": _text(rate) if rate else None,
            "display_aspect": _text(stream.sample_aspect_ratio or Fraction(1)),
            "audio_codec": next((s.codec_context.codec.canonical_name for s in audio if s.codec_context), None),
            "num_audio_streams": len(audio),
            **_count_columns(stream, index),
            "keyframe_interval_s": float(index.keyframe_interval * time_base)
            if index and index.keyframe_interval
            else None,
            "is_vfr": index.is_vfr if index else None,
            "duration_s": _duration_s(container, stream, time_base),
        }


def read_index(stream: VideoStream) -> StreamIndex | None:
    """The table of frames that stood in the header; None where there is none, or it holds only part of the frames."""
    # A table that grows while the file is read (Matroska, MPEG, fragmented MP4) says nothing of the frames to come.
    if not stream.frames or len(stream.index_entries) != stream.frames:
        return None
    shown = [entry for entry in stream.index_entries if not entry.is_discard]
    times = [entry.timestamp for entry in shown]
    gaps = [after - before for before, after in pairwise(times)]
    keyframes = [entry.timestamp for entry in shown if entry.is_keyframe]
    return StreamIndex(
        num_frames=len(shown),
        # Times are rounded to the time base, so that gaps of a steady rate may differ by one unit.
        is_vfr=max(gaps) - min(gaps) > 1 if len(gaps) > 1 else None,
        keyframe_interval=Fraction(keyframes[-1] - keyframes[0], len(keyframes) - 1) if len(keyframes) > 1 else None,
    )


def _count_columns(stream: VideoStream, index: StreamIndex | None) -> Row:
    if index:
        return {"num_frames": index.num_frames, "num_frames_source": "index"}
    if stream.frames:
        return {"num_frames": stream.frames, "num_frames_source": "header"}
    return {"num_frames": None, "num_frames_source": None}


def _picture(container: InputContainer, stream: VideoStream) -> tuple[Size, int]:
    """Displayed size, and the turn that the container asks for: it hangs on decoded frames only."""
    aspect = stream.sample_aspect_ratio
    try:
        frame = next(decode_frames(container)).frame
    except CorruptStream:
        if not stream.width * stream.height:
            raise
        # Split says what is wrong with it.
        return Size(max(1, round(stream.width * (aspect or 1))), stream.height), 0
    return displayed_size(frame, aspect), frame.rotation


def _duration_s(container: InputContainer, stream: VideoStream, time_base: Fraction) -> float | None:
    if stream.duration:
        return float(stream.duration * time_base)
    if container.duration:
        return float(Fraction(container.duration, av.time_base))
    end = _last_packet_end(container, stream)
    if end is None:
        return None
    return float((end - (stream.start_time or 0)) * time_base)


def _last_packet_end(container: InputContainer, stream: VideoStream) -> int | None:
    """PTS one past the last packet, from the last bytes of the file."""
    for tail in TAILS_BYTES:
        with suppress(FFmpegError):  # a format that cannot be entered in the middle
            container.seek(max(0, container.size - tail), unsupported_byte_offset=True)
            ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
            if ends:
                return max(ends)
    return None


def _text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
