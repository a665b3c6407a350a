"""Encodes the frames of a span into an MP4."""

from fractions import Fraction
from itertools import chain, islice

from av.error import FFmpegError
from av.video.stream import VideoStream

from stages.errors import StageError
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
from stages.media.deinterlacing import deinterlaced
from stages.media.encode import Encoder
from stages.media.encoder_pictures import KeptPart
from stages.media.span_frames import SourceSpan, frames_from, from_latest_start
from stages.media.stream_choice import frame_rate


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
    part = SourceSpan(job.uri, job.span, job.num_frames, job.may_seek)
    return from_latest_start(part, lambda start: _encode_from(start, part, add_audio_stream, job, target))


def _encode_from(start: int | None, part: SourceSpan, add_audio_stream: AddAudio, job: CutJob, target: str) -> ClipFile:
    with open_video(job.uri) as source, sound_source(job) as sound, open_output(target) as output:
        stream = video_stream(source)
        frames = frames_from(source, part, start)
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
