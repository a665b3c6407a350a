"""Encoding frames exactly at their times: upright, 8 bit 4:2:0, in sizes that every decoder takes."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec import Codec
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from stages.errors import ParamsError
from stages.media.decode import DecodedFrame
from stages.tasks import Size, Span

PIXEL_FORMAT = "yuv420p"
MAX_RATE_DENOMINATOR = 1001
DEFAULT_RATE = Fraction(25)
"""Told to the encoder where the source names no rate; times of frames do not hang on it."""

_ENCODERS = {"h264": "libx264", "vp9": "libvpx-vp9", "av1": "libsvtav1", "h264_nvenc": "h264_nvenc"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode.

    Attributes:
        name: as ``write.encoder``.
        quality: constant rate factor; lower is better and larger.
    """

    name: str
    quality: int

    @property
    def options(self) -> dict[str, str]:
        """Options of the FFmpeg encoder."""
        quality = str(self.quality)
        return {
            "h264": {"crf": quality, "preset": "veryfast", **_repeatable_x264()},
            "vp9": {"crf": quality, "b": "0", "deadline": "good", "cpu-used": "4"},
            "av1": {"crf": quality, "preset": "8", "svtav1-params": "lp=1"},
            "h264_nvenc": {"rc": "constqp", "qp": quality},
        }[self.name]


def _repeatable_x264() -> dict[str, str]:
    """Options with which x264 gives the same bytes each time.

    Its AVX-512 lookahead reads memory that it has not written (seen in PyAV 18 with 480x270: seven different files of
    twelve runs). SSE 4.2 is on every such machine, gives the same as AVX2, and costs no measurable time.
    """
    return {"x264-params": "asm=SSE4.2"} if platform.machine().lower() in ("x86_64", "amd64") else {}


def check_encoder(encoding: Encoding) -> None:
    """Nothing happens where this machine can encode so.

    Raises:
        ParamsError: the encoder is not in this FFmpeg, or its device is missing.
    """
    name = _ENCODERS[encoding.name]
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells its settings on stderr at each start
    try:
        context = cast(VideoCodecContext, Codec(name, "w").create())
        context.width, context.height, context.pix_fmt = 256, 256, PIXEL_FORMAT
        context.time_base, context.options = Fraction(1, 25), encoding.options
        context.open()
    except FFmpegError as error:
        raise ParamsError(
            f"write.encoder {encoding.name} requires {name}, which does not work here: {error.strerror or error}. "
            "Set write.encoder to h264, or run where it works."
        ) from error


class Encoder:
    """One video track of an output, made of decoded frames.

    Args:
        output: an MP4, not yet begun.
        source: the stream that the frames come from.
        encoding: how.
        first: a frame of the span; it gives the size of all.
    """

    def __init__(
        self, output: OutputContainer, source: VideoStream, encoding: Encoding, *, first: av.VideoFrame
    ) -> None:
        self._turns = round(first.rotation / 90) % 4
        self._size = Size(_even(first.width), _even(first.height))
        self._reformatter = VideoReformatter()
        rate = source.average_rate or source.guessed_rate or DEFAULT_RATE
        told_rate = rate.limit_denominator(MAX_RATE_DENOMINATOR)
        track = output.add_stream(_ENCODERS[encoding.name], rate=told_rate, options=encoding.options)
        self._track = cast(VideoStream, track)  # add_stream tells its kind only for names that it knows
        context = self._track.codec_context
        context.pix_fmt, context.time_base = PIXEL_FORMAT, source.time_base or Fraction(1, av.time_base)
        context.width, context.height = self._size.width, self._size.height
        aspect = source.sample_aspect_ratio or Fraction(1)
        if self._turns % 2:
            context.width, context.height = context.height, context.width
            aspect = 1 / aspect
        context.sample_aspect_ratio = aspect
        # More threads would give other bytes on machines with more cores.
        context.thread_count = 1
        context.color_range = ColorRange.MPEG
        if not first.format.is_rgb:
            context.colorspace, context.color_primaries = first.colorspace, first.color_primaries
            context.color_trc = first.color_trc

    @property
    def codec(self) -> str:
        """Of the video, by its usual name."""
        return self._track.codec_context.codec.canonical_name

    def packets(self, frames: Iterator[DecodedFrame], span: Span) -> Iterator[Packet]:
        """Encoded packets; every frame lasts until the next, the last until the end of the span."""
        lengths: dict[int, int] = {}
        held: DecodedFrame | None = None
        for decoded in frames:
            if held is not None:
                lengths[held.pts - span.start_pts] = decoded.pts - held.pts
                yield from self._encode(held, span.start_pts, lengths)
            held = decoded
        if held is not None:
            lengths[held.pts - span.start_pts] = span.end_pts - held.pts
            yield from self._encode(held, span.start_pts, lengths)
        yield from self._timed(self._track.encode(None), lengths)

    def _encode(self, decoded: DecodedFrame, start_pts: int, lengths: dict[int, int]) -> Iterator[Packet]:
        frame = self._upright(decoded.frame)
        frame.pts, frame.time_base = decoded.pts - start_pts, self._track.codec_context.time_base
        # A decoded frame remembers its type, and the encoder would obey it.
        frame.pict_type = PictureType.NONE
        return self._timed(self._track.encode(frame), lengths)

    def _timed(self, packets: list[Packet], lengths: dict[int, int]) -> Iterator[Packet]:
        for packet in packets:
            packet.duration = lengths.pop(packet.pts or 0, packet.duration)
            yield packet

    def _upright(self, frame: av.VideoFrame) -> av.VideoFrame:
        scaled = self._reformatter.reformat(
            frame,
            self._size.width,
            self._size.height,
            PIXEL_FORMAT,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        return _turned(scaled, self._turns) if self._turns else scaled


def _even(length: int) -> int:
    """4:2:0 needs an even number of pixels; an odd one is stretched by one, so that nothing is lost."""
    return length + length % 2


def _turned(frame: av.VideoFrame, turns: int) -> av.VideoFrame:
    """A 4:2:0 picture turned counter-clockwise by quarters, plane by plane."""
    width, height = frame.width, frame.height
    packed = np.asarray(frame.to_ndarray(), np.uint8)
    luma, chroma = packed[:height], packed[height:].reshape(2, height // 2, width // 2)
    upright = np.rot90(luma, turns)
    parts = [upright.ravel(), *(np.rot90(plane, turns).ravel() for plane in chroma)]
    turned = np.concatenate(parts).reshape(-1, upright.shape[1])
    return av.VideoFrame.from_ndarray(turned, format=PIXEL_FORMAT)
