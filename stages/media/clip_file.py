"""The MP4 of a clip: what is asked for, what was written, and what copying and encoding have in common."""

import errno
import heapq
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from stages.media.audio import add_audio
from stages.media.container import open_video, video_stream
from stages.media.encode import Encoding
from stages.media.interlace import Fields
from stages.media.sound_source import SoundSource
from stages.tasks import Span

_CLIP_ERRNOS = frozenset(
    {errno.EINVAL, errno.ERANGE, errno.EDOM, errno.EAGAIN, errno.ENOSYS, errno.ENOTSUP, errno.ENOMEM}
)
"""System error numbers that FFmpeg also uses for faults of its input: a broken packet that claims to be huge gives
ENOMEM. Other numbers mean that the system failed."""


AddAudio = Callable[[SoundSource, OutputContainer], Iterator[Packet]]
"""`add_audio`, `add_encoded_audio` or `add_no_audio`."""


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
        is_damaged: pictures of the span are damaged; their packets are not copied, since the clip must decode without
            an error.
        deinterlace: which field is first in frames to deinterlace; None for frames to take as they are.
    """

    uri: str
    span: Span
    num_frames: int
    at_keyframes: bool
    mode: Literal["auto", "copy", "smart", "encode"]
    encoding: Encoding
    _: KW_ONLY
    copied_codecs: frozenset[str] | None = None
    copies_aac_only: bool = False
    may_seek: bool = True
    is_damaged: bool = False
    deinterlace: Fields | None = None


@dataclass(frozen=True, slots=True)
class ClipFile:
    """Facts of a clip's MP4.

    Attributes:
        method: copy, encode, or smart where frames at the edges are encoded and the packets between them copied.
        codec: of the video stream.
        num_frames: of the video stream.
        sound: copy or encode; none where the span has none; lost where it can be neither copied nor encoded.
        crop: left, top, right and bottom of the part of the picture that it shows, in shares; None for all.
    """

    method: str
    codec: str
    num_frames: int
    sound: str = "none"
    crop: list[float] | None = None


def read_clip_file(location: str) -> ClipFile:
    """Read the facts of a clip's MP4 from its header.

    Raises:
        SourceError: the file was not written whole by `cut_clip`.
    """
    with open_video(location) as container:
        stream = video_stream(container)
        told = dict(part.split("=", 1) for part in container.metadata.get("comment", "").split() if "=" in part)
        codec = stream.codec_context.codec.canonical_name
        crop = [float(edge) for edge in told["crop"].split(",")] if "crop" in told else None
        return ClipFile(told.get("cut", ""), codec, stream.frames, told.get("sound", "none"), crop)


def open_output(path: str) -> OutputContainer:
    """Open an MP4 to write."""
    # With the index (moov) at the front, a reader of an object store starts with one range request.
    return av.open(f"file:{path}", "w", format="mp4", container_options={"movflags": "faststart"})


def mux(
    output: OutputContainer, method: str, sound: str, *streams: Iterator[Packet], crop: list[float] | None = None
) -> None:
    """Mux the packets of all streams in the order of their DTS."""
    cropped = f" crop={','.join(map(str, crop))}" if crop else ""
    output.metadata["comment"] = f"cut={method} sound={sound}{cropped}"
    for packet in heapq.merge(*streams, key=_packet_time):
        output.mux(packet)


def _packet_time(packet: Packet) -> Fraction:
    return (packet.dts if packet.dts is not None else packet.pts or 0) * packet.time_base


def copied_audio(job: CutJob) -> AddAudio:
    """How the sound of a job is copied."""
    return partial(add_audio, copied_codecs=frozenset({"aac"})) if job.copies_aac_only else add_audio


def sound_source(job: CutJob) -> SoundSource:
    """The sound of a job's span, opened by itself."""
    return SoundSource(job.uri, job.span, may_seek=job.may_seek)


def error_text(error: Exception | None) -> str:
    """What FFmpeg says is wrong, else the message of the error."""
    return (error.strerror if isinstance(error, FFmpegError) else None) or str(error)


def raise_system_error(error: Exception) -> None:
    """Raise a failure of the system as an OSError; return if the error is a fault that FFmpeg found in the clip."""
    if isinstance(error, FFmpegError) and error.errno in errno.errorcode and error.errno not in _CLIP_ERRNOS:
        raise OSError(error.errno, error.strerror) from error
