"""Copies the packets of a span into an MP4."""

from fractions import Fraction

from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from stages.media.audio import SoundNotCopyable, add_encoded_audio
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
from stages.media.container import open_video, video_stream
from stages.media.container_crop import Crop
from stages.media.stream_copy import NotCopyable, copy_packets, rebase_packets

COPIED_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
"""8 bit, 4:2:0, of limited and of full range."""


def copy_clip(job: CutJob, target: str) -> ClipFile:
    """Copy the video; sound that cannot be copied with it is encoded."""
    if not job.at_keyframes:
        raise NotCopyable("A copied span must begin at a keyframe and end before one or with the stream.")
    check_copyable(job)
    failure: Exception | None = None
    for add_audio_stream in (copied_audio(job), add_encoded_audio):
        try:
            return _copy_with_audio(add_audio_stream, job, target)
        except (SoundNotCopyable, FFmpegError) as error:
            raise_system_error(error)
            failure = error
    raise NotCopyable(f"The packets of the span do not fit into MP4: {error_text(failure)}.") from failure


def check_copyable(job: CutJob) -> None:
    """Check that packets may be copied, whatever the span.

    Raises:
        NotCopyable: the clip is to have other pictures than the source, or another codec; or it is damaged.
    """
    if job.is_damaged:
        raise NotCopyable("A copied clip must be whole, and pictures of this one are damaged.")
    if job.deinterlace is not None:
        raise NotCopyable("A copied clip must be progressive, and this one is interlaced. Set write.deinterlace=never.")
    if job.encoding.normalizes:
        raise NotCopyable(
            "A copied clip has the size and rate of its source; write.height_px, fps or crop ask for more."
        )
    _check_copied_codec(job)


def add_copied_track(output: OutputContainer, stream: VideoStream) -> VideoStream:
    """Add a track for packets of a stream, as the stream is."""
    track = output.add_stream_from_template(stream, opaque=True)
    if track.codec_context.codec.canonical_name == "hevc":
        track.codec_context.codec_tag = "hvc1"  # with hev1, FFmpeg's default, Safari and QuickTime play nothing
    # Matroska stores the pixel aspect in the container, not in the codec parameters of the template.
    track.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio or Fraction(1)
    return track


def _check_copied_codec(job: CutJob) -> None:
    """Raise `NotCopyable` where clips of the source's codec or pixel format are to be encoded."""
    if job.copied_codecs is None:
        return
    with open_video(job.uri) as source:
        context = video_stream(source).codec_context
        codec, pixel_format = context.codec.canonical_name, context.pix_fmt
    if codec not in job.copied_codecs or pixel_format not in COPIED_PIXEL_FORMATS:
        raise NotCopyable(
            f"A copied clip must be {' or '.join(sorted(job.copied_codecs))} of 8 bit 4:2:0 (write.playable, "
            f"write.uniform), got {codec} of {pixel_format}."
        )


def _copy_with_audio(add_audio_stream: AddAudio, job: CutJob, target: str) -> ClipFile:
    with open_video(job.uri) as source, sound_source(job) as sound, open_output(target) as output:
        stream = video_stream(source)
        if Crop.of(source, stream) is not None:
            raise NotCopyable("Copied frames must be shown whole, and the source's container crops them.")
        packets = copy_packets(
            source, stream, job.span, job.num_frames, may_seek=job.may_seek, takes_hdr=job.encoding.keeps_hdr
        )
        track = add_copied_track(output, stream)
        video = rebase_packets(packets, track, job.span.start_pts)
        audio = add_audio_stream(sound, output)
        mux(output, "copy", sound.method, video, audio)
        return ClipFile("copy", stream.codec_context.codec.canonical_name, job.num_frames, sound.method)
