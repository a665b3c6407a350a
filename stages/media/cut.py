"""Cutting a span out of a source: by copying its packets where that gives exactly the span, else by encoding."""

import errno
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Literal

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from stages.errors import CorruptStream, StageError, StorageUnavailable
from stages.media.audio import add_audio, add_encoded_audio
from stages.media.container import open_video, video_stream
from stages.media.copied import NEAR_S, NotCopyable, copied_packets, rebased, seek_before
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.encode import Encoder, Encoding
from stages.tasks import Span

_OF_THE_CLIP = frozenset(
    {errno.EINVAL, errno.ERANGE, errno.EDOM, errno.EAGAIN, errno.ENOSYS, errno.ENOTSUP, errno.ENOMEM}
)
"""Error numbers of the system by which FFmpeg means what it is given, and not the system. A broken packet that claims
to be huge is out of memory."""


AddSound = Callable[[InputContainer, OutputContainer, Span], Iterator[Packet]]
"""`add_audio`, or another way to the sound."""


class _NotReached(Exception):
    """Decoding from where a seek landed does not give the frames of the span."""


@dataclass(frozen=True, slots=True)
class CutJob:
    """What to cut.

    Attributes:
        uri: the source.
        span: in PTS of its first video stream.
        num_frames: frames that the span holds, as split counted them.
        at_keyframes: the span begins at a keyframe, and a keyframe or the end of the stream follows it.
        mode: as ``write.mode``.
        encoding: for what is not copied.
    """

    uri: str
    span: Span
    num_frames: int
    at_keyframes: bool
    mode: Literal["auto", "copy", "encode"]
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Cut:
    """What stands in the file.

    Attributes:
        how: copy or encode.
        codec: of the video.
        num_frames: of the video.
    """

    how: str
    codec: str
    num_frames: int


def cut_clip(job: CutJob, target: str) -> Cut:
    """Write the span with its sound as an MP4 whose first frame stands at time 0.

    Raises:
        NotCopyable: `mode` is copy, and the span does not allow it.
        StorageUnavailable: the disk is full, or the system failed otherwise in reading or writing.
        SourceError: the source cannot be opened, or breaks inside the span.
        StageError: it cannot be encoded.
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


def read_cut(location: str) -> Cut:
    """What an existing clip's file holds, by its header.

    Raises:
        SourceError: it is no whole file of `cut_clip`.
    """
    with open_video(location) as container:
        stream = video_stream(container)
        how = container.metadata.get("comment", "").removeprefix("cut=")
        return Cut(how, stream.codec_context.codec.canonical_name, stream.frames)


def _open_target(target: str) -> OutputContainer:
    # The index at the front lets a reader on an object store begin with one range.
    return av.open(f"file:{target}", "w", format="mp4", container_options={"movflags": "faststart"})


def _write(output: OutputContainer, how: str, *streams: Iterator[Packet]) -> None:
    """Mux the packets of all streams in the order of their time."""
    output.metadata["comment"] = f"cut={how}"
    for packet in heapq.merge(*streams, key=_time):
        output.mux(packet)


def _time(packet: Packet) -> Fraction:
    return (packet.dts if packet.dts is not None else packet.pts or 0) * packet.time_base


def _copy(job: CutJob, target: str) -> Cut:
    if not job.at_keyframes:
        raise NotCopyable("A copied span must begin at a keyframe and end before one or with the stream.")
    try:
        with open_video(job.uri) as source, open_video(job.uri) as sound, _open_target(target) as output:
            stream = video_stream(source)
            packets = copied_packets(source, stream, job.span, job.num_frames)
            track = output.add_stream_from_template(stream, opaque=True)
            # Matroska keeps the pixel aspect beside the stream.
            track.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio or Fraction(1)
            video = rebased(packets, track, job.span.start_pts)
            _write(output, "copy", video, add_audio(sound, output, job.span))
            return Cut("copy", stream.codec_context.codec.canonical_name, job.num_frames)
    except FFmpegError as error:
        _raise_of_system(error)
        raise NotCopyable(f"The packets of the span do not fit into MP4: {error.strerror or error}.") from error


def _raise_of_system(error: FFmpegError) -> None:
    """Pass on, as an OSError, what the system did; return from what FFmpeg found in the clip."""
    if error.errno in errno.errorcode and error.errno not in _OF_THE_CLIP:
        raise OSError(error.errno, error.strerror) from error


def _encode(job: CutJob, target: str) -> Cut:
    """Encode the pictures; the sound is copied, or encoded too where the MP4 does not take its packets (damage)."""
    try:
        return _encode_with(add_audio, job, target)
    except FFmpegError as error:
        _raise_of_system(error)
    try:
        return _encode_with(add_encoded_audio, job, target)
    except FFmpegError as error:
        _raise_of_system(error)
        raise StageError(
            f"The clip cannot be encoded with {job.encoding.name}: {error.strerror or error}. "
            "Try another write.encoder."
        ) from error


def _encode_with(add_sound: AddSound, job: CutJob, target: str) -> Cut:
    """Encode from the nearest place that gives all frames of the span; decoding the file from its start always does."""
    near = job.span.start_pts - round(NEAR_S / job.span.time_base)
    told = ""
    for start in (job.span.start_pts, near, None):
        try:
            return _encode_from(start, add_sound, job, target)
        except _NotReached as error:
            told = str(error)
        except CorruptStream:
            if start is None:
                raise
    raise StageError(f"The span must decode to the frames that split counted. {told} Run split again.")


def _encode_from(start: int | None, add_sound: AddSound, job: CutJob, target: str) -> Cut:
    with open_video(job.uri) as source, open_video(job.uri) as sound, _open_target(target) as output:
        stream = video_stream(source)
        if start is not None:
            seek_before(source, stream, start)
        frames = _frames_of(decode_frames(source), job.span, job.num_frames)
        first = next(frames)
        encoder = Encoder(output, stream, job.encoding, first=first.frame)
        video = encoder.packets(chain([first], frames), job.span)
        _write(output, "encode", video, add_sound(sound, output, job.span))
        return Cut("encode", encoder.codec, job.num_frames)


def _frames_of(frames: Iterator[DecodedFrame], span: Span, num_frames: int) -> Iterator[DecodedFrame]:
    """The frames of the span, at least one.

    Raises:
        _NotReached: decoding began too late, or the frames are not those that split counted.
        CorruptStream: the stream breaks inside the span.
    """
    count = 0
    for decoded in frames:
        if decoded.pts < span.start_pts:
            continue
        # Also after a seek in MPEG, where times are guessed until the first packet that tells its own.
        if not count and decoded.pts != span.start_pts:
            raise _NotReached(f"It must begin at PTS {span.start_pts}, the first frame at hand has {decoded.pts}.")
        if decoded.pts >= span.end_pts:
            break
        count += 1
        yield decoded
        if count == num_frames:
            return
    raise _NotReached(f"It must hold {num_frames} frames, got {count}.")
