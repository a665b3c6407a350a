"""Encodes the frames of a span into an MP4."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice

from av.error import FFmpegError
from av.video.stream import VideoStream

from stages.errors import CorruptStream, StageError
from stages.media.audio import SoundNotCopyable, add_encoded_audio, add_no_audio
from stages.media.clip_file import (
    AddAudio,
    ClipFile,
    CutJob,
    copied_audio,
    error_text,
    mux,
    open_output,
    raise_system_error,
    sound_source,
)
from stages.media.constant_rate import at_constant_rate, span_at_rate
from stages.media.container import open_video, video_stream
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.deinterlacing import deinterlaced
from stages.media.encode import Encoder
from stages.media.encoder_pictures import KeptPart
from stages.media.stream_choice import frame_rate
from stages.media.stream_copy import SEEK_BACK_S, beginning, decodes_from_keyframes, seek_to_keyframe
from stages.tasks import Span


class _SpanNotReached(Exception):
    """Decoding from the keyframe that a seek reached does not give the frames of the span."""


def encode_clip(job: CutJob, target: str) -> ClipFile:
    """Encode the video; audio is copied, or encoded too, or left out where neither can be done (damage)."""
    failure: Exception | None = None
    for add_audio_stream in (copied_audio(job), add_encoded_audio, add_no_audio):
        try:
            return _encode_with_audio(add_audio_stream, job, target)
        except (SoundNotCopyable, FFmpegError, ValueError) as error:  # PyAV finds some faults by ValueError
            raise_system_error(error)
            failure = error
    raise StageError(
        f"The clip cannot be encoded with {job.encoding.name}: {error_text(failure)}. Try another write.encoder."
    ) from failure


def _encode_with_audio(add_audio_stream: AddAudio, job: CutJob, target: str) -> ClipFile:
    """Encode from the latest seek position that gives all frames of the span; the start of the file always does."""
    earlier = job.span.start_pts - round(SEEK_BACK_S / job.span.time_base)
    mismatch = ""
    for start in (job.span.start_pts, earlier, None):
        try:
            return _encode_from(start, add_audio_stream, job, target)
        except _SpanNotReached as error:
            mismatch = str(error)
        except CorruptStream:
            if start is None:
                raise
    raise StageError(f"The span must decode to the frames that split counted. {mismatch} Run split again.")


def _encode_from(start: int | None, add_audio_stream: AddAudio, job: CutJob, target: str) -> ClipFile:
    with open_video(job.uri) as source, sound_source(job) as sound, open_output(target) as output:
        stream = video_stream(source)
        if start is not None and not decodes_from_keyframes(stream):
            raise _SpanNotReached(f"A stream of {stream.pix_fmt} decodes from its beginning only.")
        if start is not None and job.may_seek and start > beginning(source, stream):
            seek_to_keyframe(source, stream, start)
        # Where a seek would not do, the packets before are read and not decoded.
        decoded_from = start if start is not None and not job.may_seek else None
        frames = _span_frames(decode_frames(source, decoded_from=decoded_from), job.span, job.num_frames)
        if job.deinterlace is not None:
            frames = deinterlaced(frames, job.deinterlace)
        span, num_frames, fps = job.span, job.num_frames, job.encoding.fps
        if fps is not None:
            frames, span = at_constant_rate(frames, span, fps), span_at_rate(span, fps)
            num_frames = span.end_pts
        first = list(islice(frames, 2))
        is_constant = fps is not None or _is_constant_rate(stream, job, [decoded.pts for decoded in first])
        encoder = Encoder(
            output,
            stream,
            job.encoding,
            first=first[0],
            num_frames=num_frames,
            time_base=span.time_base,
            is_constant_rate=is_constant,
        )
        video = encoder.packets(chain(first, frames), span)
        audio = add_audio_stream(sound, output)
        crop = _shown(job.encoding.kept)
        mux(output, "encode", sound.method, video, audio, crop=crop)
        return ClipFile("encode", encoder.codec, num_frames, sound.method, crop)


def _shown(kept: KeptPart | None) -> list[float] | None:
    """Left, top, right and bottom of the part that is kept, see `ClipFile`."""
    return None if kept is None else [round(edge, 5) for edge in (*kept[:2], 1 - kept.right, 1 - kept.bottom)]


def _is_constant_rate(stream: VideoStream, job: CutJob, first_pts: list[int]) -> bool:
    """True if the first frame is as long as the stream's rate says, and the span holds as many frames as it gives."""
    rate, time_base = frame_rate(stream), job.span.time_base
    if rate is None:
        return False
    ends = [*first_pts[1:], job.span.end_pts]
    is_first_even = abs((ends[0] - first_pts[0]) - 1 / (rate * time_base)) <= 1  # PTS are rounded to the time base
    length = (job.span.end_pts - job.span.start_pts) * time_base * rate
    return is_first_even and abs(length - job.num_frames) < Fraction(1, 2)


def _span_frames(frames: Iterator[DecodedFrame], span: Span, num_frames: int) -> Iterator[DecodedFrame]:
    """The decoded frames of the span, at least one.

    Raises:
        _SpanNotReached: decoding began after the span's start, or the frames are not those that split counted.
        CorruptStream: the stream breaks inside the span.
    """
    count = 0
    for decoded in frames:
        if decoded.pts < span.start_pts:
            continue
        # This also occurs after a seek in MPEG, where FFmpeg guesses times until the first packet with a timestamp.
        if not count and decoded.pts != span.start_pts:
            raise _SpanNotReached(f"It must begin at PTS {span.start_pts}, the first frame at hand has {decoded.pts}.")
        if decoded.pts >= span.end_pts:
            break
        count += 1
        yield decoded
        if count == num_frames:
            return
    raise _SpanNotReached(f"It must hold {num_frames} frames, got {count}.")
