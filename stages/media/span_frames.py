"""Decodes exactly the frames of a span, from the latest place to begin at that gives all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from av.container import InputContainer

from stages.errors import CorruptStream, StageError
from stages.media.container import open_video, video_stream
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.stream_copy import SEEK_BACK_S, beginning, decodes_from_keyframes, seek_to_keyframe
from stages.tasks import Span

T = TypeVar("T")


class SpanNotReached(Exception):
    """Decoding from the keyframe that a seek reached does not give the frames of the span."""


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A span of a source.

    Attributes:
        uri: of the source.
        span: its interval.
        num_frames: frames inside, as split counted them.
        may_seek: false where the video's times are not those of the file, so that it is read from its beginning.
    """

    uri: str
    span: Span
    num_frames: int
    may_seek: bool = True


def from_latest_start(part: SourceSpan, decode: Callable[[int | None], T]) -> T:
    """What `decode` returns, given the latest PTS to begin at from which it reaches the span; None is the beginning.

    Raises:
        CorruptStream: the stream breaks inside the span.
        StageError: no start gives the frames that split counted.
    """
    earlier = part.span.start_pts - round(SEEK_BACK_S / part.span.time_base)
    mismatch = ""
    for start in (part.span.start_pts, earlier, None):
        try:
            return decode(start)
        except SpanNotReached as error:
            mismatch = str(error)
        except CorruptStream:
            if start is None:
                raise
    raise StageError(f"The span must decode to the frames that split counted. {mismatch} Run split again.")


def frames_from(source: InputContainer, part: SourceSpan, start: int | None) -> Iterator[DecodedFrame]:
    """The frames of the span, decoded from the keyframe before a PTS; from the beginning of the source for None.

    Args:
        source: opened, not yet read from.
        part: the span.
        start: in units of its time base.

    Raises:
        SpanNotReached: another start is to be tried; by the call, or while frames are taken.
        CorruptStream: the stream breaks inside the span.
    """
    stream = video_stream(source)
    if start is not None and not decodes_from_keyframes(stream):
        raise SpanNotReached(f"A stream of {stream.pix_fmt} decodes from its beginning only.")
    if start is not None and part.may_seek and start > beginning(source, stream):
        seek_to_keyframe(source, stream, start)
    # Where a seek would not do, the packets before are read and not decoded.
    decoded_from = start if start is not None and not part.may_seek else None
    return _inside(decode_frames(source, decoded_from=decoded_from), part)


def read_span(part: SourceSpan, take: Callable[[Iterator[DecodedFrame]], T]) -> T:
    """What `take` makes of the frames of a span. It may be called again, with the same frames from another start.

    Raises:
        SourceError: the source cannot be opened, or breaks inside the span.
        StageError: see `from_latest_start`.
    """

    def decode(start: int | None) -> T:
        with open_video(part.uri) as source:
            return take(frames_from(source, part, start))

    return from_latest_start(part, decode)


def _inside(frames: Iterator[DecodedFrame], part: SourceSpan) -> Iterator[DecodedFrame]:
    """The decoded frames of the span, at least one."""
    count = 0
    for decoded in frames:
        if decoded.pts < part.span.start_pts:
            continue
        # This also occurs after a seek in MPEG, where FFmpeg guesses times until the first packet with a timestamp.
        if not count and decoded.pts != part.span.start_pts:
            raise SpanNotReached(
                f"It must begin at PTS {part.span.start_pts}, the first frame at hand has {decoded.pts}."
            )
        if decoded.pts >= part.span.end_pts:
            break
        count += 1
        yield decoded
        if count == part.num_frames:
            return
    raise SpanNotReached(f"It must hold {part.num_frames} frames, got {count}.")
