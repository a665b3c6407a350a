"""Cuts a span out of a source into an MP4: by stream copy where that gives its exact frames, else by encoding."""

import errno
import heapq
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from typing import Literal

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from stages.errors import CorruptStream, StageError, StorageUnavailable
from stages.media.audio import SoundNotCopyable, add_audio, add_encoded_audio, add_no_audio
from stages.media.constant_rate import at_constant_rate, span_at_rate
from stages.media.container import open_video, video_stream
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.deinterlacing import deinterlaced
from stages.media.encode import Encoder, Encoding
from stages.media.interlace import Fields
from stages.media.sound_source import SoundSource
from stages.media.stream_choice import frame_rate
from stages.media.stream_copy import (
    SEEK_BACK_S,
    NotCopyable,
    beginning,
    copy_packets,
    decodes_from_keyframes,
    rebase_packets,
    seek_to_keyframe,
)
from stages.tasks import Span

_CLIP_ERRNOS = frozenset(
    {errno.EINVAL, errno.ERANGE, errno.EDOM, errno.EAGAIN, errno.ENOSYS, errno.ENOTSUP, errno.ENOMEM}
)
"""System error numbers that FFmpeg also uses for faults of its input: a broken packet that claims to be huge gives
ENOMEM. Other numbers mean that the system failed."""


COPIED_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
"""8 bit, 4:2:0, of limited and of full range."""

AddAudio = Callable[[SoundSource, OutputContainer], Iterator[Packet]]
"""`add_audio`, `add_encoded_audio` or `add_no_audio`."""


class _SpanNotReached(Exception):
    """Decoding from the keyframe that a seek reached does not give the frames of the span."""


@dataclass(frozen=True, slots=True)
class CutJob:
    """A span to cut out of a source, and how.

    Attributes:
        uri: the source.
        span: in PTS of the source's video stream, with times that go on where the file's begin again.
        num_frames: frames in the span, as counted by split.
        at_keyframes: true if the span begins at a keyframe and ends at a keyframe or at the end of the stream.
        mode: as ``write.mode``.
        encoding: encoder settings where packets are not copied.
        copied_codecs: video codecs that are copied, of 8 bit 4:2:0 alone; None for all that MP4 takes.
        copies_aac_only: of sound, copy no other codec.
        may_seek: false where the source begins anew somewhere: a time then names no place in the file, or the decoder
            needs a header that came before.
        deinterlace: which field is first in frames to deinterlace; None for frames to take as they are.
    """

    uri: str
    span: Span
    num_frames: int
    at_keyframes: bool
    mode: Literal["auto", "copy", "encode"]
    encoding: Encoding
    _: KW_ONLY
    copied_codecs: frozenset[str] | None = None
    copies_aac_only: bool = False
    may_seek: bool = True
    deinterlace: Fields | None = None


@dataclass(frozen=True, slots=True)
class ClipFile:
    """Facts of a clip's MP4.

    Attributes:
        method: copy or encode.
        codec: of the video stream.
        num_frames: of the video stream.
        sound: copy or encode; none where the span has none; lost where it can be neither copied nor encoded.
    """

    method: str
    codec: str
    num_frames: int
    sound: str = "none"


def cut_clip(job: CutJob, target: str) -> ClipFile:
    """Write the span with its audio as an MP4 whose first frame has PTS 0.

    Raises:
        NotCopyable: `mode` is copy, and the packets of the span cannot be copied.
        StorageUnavailable: the disk is full, or another system call failed in reading or writing.
        SourceError: the source cannot be opened, or breaks inside the span.
        StageError: the span cannot be encoded.
    """
    try:
        if job.mode != "encode":
            try:
                return _copy(job, target)
            except NotCopyable:
                if job.mode == "copy":
                    raise
        return _encode(job, target)
    except OSError as error:
        raise StorageUnavailable(
            job.uri,
            f"The clip must be read and written, got {error.strerror or error}. Check the disk that holds temporary "
            "files (TMPDIR) and the source's; the next run tries again.",
        ) from error


def read_clip_file(location: str) -> ClipFile:
    """Read the facts of a clip's MP4 from its header.

    Raises:
        SourceError: the file was not written whole by `cut_clip`.
    """
    with open_video(location) as container:
        stream = video_stream(container)
        told = dict(part.split("=", 1) for part in container.metadata.get("comment", "").split() if "=" in part)
        codec = stream.codec_context.codec.canonical_name
        return ClipFile(told.get("cut", ""), codec, stream.frames, told.get("sound", "none"))


def _open_output(path: str) -> OutputContainer:
    # With the index (moov) at the front, a reader of an object store starts with one range request.
    return av.open(f"file:{path}", "w", format="mp4", container_options={"movflags": "faststart"})


def _mux(output: OutputContainer, method: str, sound: str, *streams: Iterator[Packet]) -> None:
    """Mux the packets of all streams in the order of their DTS."""
    output.metadata["comment"] = f"cut={method} sound={sound}"
    for packet in heapq.merge(*streams, key=_packet_time):
        output.mux(packet)


def _packet_time(packet: Packet) -> Fraction:
    return (packet.dts if packet.dts is not None else packet.pts or 0) * packet.time_base


def _copy(job: CutJob, target: str) -> ClipFile:
    """Copy the video; sound that cannot be copied with it is encoded."""
    if not job.at_keyframes:
        raise NotCopyable("A copied span must begin at a keyframe and end before one or with the stream.")
    if job.deinterlace is not None:
        raise NotCopyable("A copied clip must be progressive, and this one is interlaced. Set write.deinterlace=never.")
    if job.encoding.normalizes:
        raise NotCopyable(
            "A copied clip has the size and rate of its source; write.height_px, fps or crop ask for more."
        )
    _check_copied_codec(job)
    failure: Exception | None = None
    for add_audio_stream in (_add_copied_audio(job), add_encoded_audio):
        try:
            return _copy_with_audio(add_audio_stream, job, target)
        except (SoundNotCopyable, FFmpegError) as error:
            _raise_system_error(error)
            failure = error
    raise NotCopyable(f"The packets of the span do not fit into MP4: {_text(failure)}.") from failure


def _add_copied_audio(job: CutJob) -> AddAudio:
    return partial(add_audio, copied_codecs=frozenset({"aac"})) if job.copies_aac_only else add_audio


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
    with open_video(job.uri) as source, _sound_source(job) as sound, _open_output(target) as output:
        stream = video_stream(source)
        packets = copy_packets(
            source, stream, job.span, job.num_frames, may_seek=job.may_seek, takes_hdr=job.encoding.keeps_hdr
        )
        track = output.add_stream_from_template(stream, opaque=True)
        if track.codec_context.codec.canonical_name == "hevc":
            track.codec_context.codec_tag = "hvc1"  # with hev1, FFmpeg's default, Safari and QuickTime play nothing
        # Matroska stores the pixel aspect in the container, not in the codec parameters of the template.
        track.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio or Fraction(1)
        video = rebase_packets(packets, track, job.span.start_pts)
        audio = add_audio_stream(sound, output)
        _mux(output, "copy", sound.method, video, audio)
        return ClipFile("copy", stream.codec_context.codec.canonical_name, job.num_frames, sound.method)


def _sound_source(job: CutJob) -> SoundSource:
    return SoundSource(job.uri, job.span, may_seek=job.may_seek)


def _text(error: Exception | None) -> str:
    return (error.strerror if isinstance(error, FFmpegError) else None) or str(error)


def _raise_system_error(error: Exception) -> None:
    """Raise a failure of the system as an OSError; return if the error is a fault that FFmpeg found in the clip."""
    if isinstance(error, FFmpegError) and error.errno in errno.errorcode and error.errno not in _CLIP_ERRNOS:
        raise OSError(error.errno, error.strerror) from error


def _encode(job: CutJob, target: str) -> ClipFile:
    """Encode the video; audio is copied, or encoded too, or left out where neither can be done (damage)."""
    failure: Exception | None = None
    for add_audio_stream in (_add_copied_audio(job), add_encoded_audio, add_no_audio):
        try:
            return _encode_with_audio(add_audio_stream, job, target)
        except (SoundNotCopyable, FFmpegError, ValueError) as error:  # PyAV finds some faults by ValueError
            _raise_system_error(error)
            failure = error
    raise StageError(
        f"The clip cannot be encoded with {job.encoding.name}: {_text(failure)}. Try another write.encoder."
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
    with open_video(job.uri) as source, _sound_source(job) as sound, _open_output(target) as output:
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
        _mux(output, "encode", sound.method, video, audio)
        return ClipFile("encode", encoder.codec, num_frames, sound.method)


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
