"""Which streams of a container are curated: those that a player would show and play."""

from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails
_IMPAIRED = Disposition.hearing_impaired | Disposition.visual_impaired
_SECONDARY = _IMPAIRED | Disposition.dependent | Disposition.still_image | Disposition.metadata
"""A stream with one of these is an extra for some viewers, or no video by itself."""

_PICTURE_CODECS = frozenset({"mjpeg", "png", "bmp", "tiff", "webp"})
"""Codecs of covers; a stream of one is a video only where there is no other."""

MAX_PLAUSIBLE_RATE = 240
"""Frames a second. A header that tells more than this is believed only where FFmpeg's other estimates agree."""
MAX_RATE_FACTOR = 3
"""Two fields of a frame, or frames left out here and there, make less of a difference between rates."""


def best_video_stream(container: InputContainer) -> VideoStream | None:
    """The video stream that a player shows; None where there are only covers and thumbnails.

    The order of the criteria is that of the ffmpeg command: a stream with pictures, then the default one (in MP4 that
    is one whose track is enabled), then the largest picture, then the first.
    """
    candidates = [stream for stream in container.streams.video if not stream.disposition & _STILLS]
    return max(candidates, key=_video_rank, default=None)


def best_audio_stream(container: InputContainer, video: VideoStream) -> AudioStream | None:
    """The audio stream that a player plays with this video; None where no stream holds sound that decodes.

    FFmpeg's own choice: of the video's programme, the default stream first. A stream without packets is passed over.
    """
    usable = [stream for stream in container.streams.audio if _has_sound(stream)]
    passed_over: list[tuple[Stream, Disposition]] = []
    try:
        for _ in container.streams.audio:
            stream: Any = container.streams.best("audio", video)
            if stream is None or stream in usable or not usable:
                return stream if stream in usable else None
            # FFmpeg ranks by disposition first: the lowest one makes it choose again without this stream.
            passed_over.append((stream, stream.disposition))
            stream.disposition = _IMPAIRED
        return usable[0] if usable else None
    finally:
        for stream, disposition in passed_over:
            stream.disposition = disposition


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second by the header; None where it tells none, or only the unit of its clock.

    The average rate of FFmpeg is the right one, unless a demuxer makes one packet's length of its clock (raw DV tells
    60000, files of browsers' recorders tell 1000), or Matroska's length of a frame is none.
    """
    told = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    believed = told[1:] if stream.average_rate and not is_rate_told(stream) else told
    plausible = [rate for rate in believed if rate <= MAX_PLAUSIBLE_RATE]
    if plausible:
        return plausible[0]
    is_clock = bool(told) and stream.time_base is not None and told[0] * stream.time_base == 1
    return told[0] if told and not is_clock else None


def is_rate_told(stream: VideoStream) -> bool:
    """True if the header's average rate can be one; what `frame_rate` gives otherwise is FFmpeg's guess.

    Of Matroska it comes from a length of frames that nothing else depends on. Times of the first packets, of which
    FFmpeg makes the base rate, must not be far from it.
    """
    average, base = stream.average_rate, stream.base_rate
    if not average or average > MAX_PLAUSIBLE_RATE:
        return False
    if "matroska" not in stream.container.format.name or not base or base > MAX_PLAUSIBLE_RATE:
        return True
    return 1 / MAX_RATE_FACTOR <= average / base <= MAX_RATE_FACTOR


def _video_rank(stream: VideoStream) -> tuple[int, int, int, int]:
    pixels = stream.width * stream.height if stream.codec_context else 0
    return _shown_pictures(stream), _preference(stream), pixels, -stream.index


def _preference(stream: Stream) -> int:
    """As in `av_find_best_stream`: a default stream is preferred, a secondary one is not."""
    return bool(stream.disposition & Disposition.default) - bool(stream.disposition & _SECONDARY)


def _shown_pictures(stream: VideoStream) -> int:
    """0 without pictures, 1 for a single one, 2 for a video, as far as header and FFmpeg's analysis tell.

    FFmpeg knows the pixel format of a stream once it has decoded one of its frames.
    """
    if not (stream.codec_context and stream.pix_fmt and stream.width * stream.height) or _is_empty(stream):
        return 0
    may_be_cover = not stream.frames and stream.codec_context.codec.canonical_name in _PICTURE_CODECS
    return 1 if stream.frames == 1 or may_be_cover else 2


def _has_sound(stream: AudioStream) -> bool:
    context = stream.codec_context
    return bool(context and stream.time_base and context.sample_rate) and not _is_empty(stream)


def _is_empty(stream: Stream) -> bool:
    """True where the container lists packets of other streams of this type, and none of this one.

    MP4, MOV and AVI list all packets in the header; of Matroska FFmpeg lists those that it saw in the first seconds.
    """
    if not stream.container.format.name.startswith(("mov", "avi", "matroska")):
        return False
    alike = [other for other in stream.container.streams if other.type == stream.type]
    return any(map(_num_listed, alike)) and not _num_listed(stream)


def _num_listed(stream: Stream) -> int:
    return max(stream.frames, len(stream.index_entries))
