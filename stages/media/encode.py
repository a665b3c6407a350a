"""Encodes decoded frames with their exact PTS."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

from av.codec import Codec
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from stages.errors import ParamsError
from stages.media.decode import DecodedFrame
from stages.media.encoder_pictures import HDR_FORMAT, SDR_FORMAT, EncoderPictures, KeptPart, TargetSize
from stages.media.hdr_metadata import x265_hdr_parameters
from stages.media.nvidia_cards import card_of, why_not_encoded
from stages.media.realtime_priority import no_realtime_priority
from stages.media.stream_choice import frame_rate
from stages.tasks import Span

MAX_RATE_DENOMINATOR = 1001
DEFAULT_RATE = Fraction(25)
"""Frame rate given to the encoder where the source declares none; PTS do not depend on it."""

_ENCODERS = {"h264": "libx264", "vp9": "libvpx-vp9", "av1": "libsvtav1", "hevc": "libx265"}
"""By the encoder's name in ``write.encoder``; those of NVENC are called as FFmpeg calls them."""
_NVENC = "_nvenc"
_AV1_QUANTIZERS_EACH = 4
"""AV1's quantizer goes to 255, where the rate factors of SVT-AV1, and of ``write.quality``, go to 63."""

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
"""Names of x264 and x265, the fastest first."""
_AUTO_PRESETS = {"h264": "veryfast", "hevc": "fast", "vp9": "fast", "av1": "fast"}
_VP9_SPEEDS = dict(zip(PRESETS, "555443210", strict=True))
_AV1_PRESETS = dict(zip(PRESETS, ("12", "11", "10", "9", "8", "6", "5", "4", "3"), strict=True))
_NVENC_PRESETS = dict(zip(PRESETS, ("p1", "p1", "p2", "p3", "p3", "p4", "p5", "p6", "p7"), strict=True))

_X265 = "pools=none:frame-threads=1:log-level=none"
"""One thread: with more, the bytes would depend on the number of cores."""
MIN_FRAMES_HEVC_B = 3
"""With fewer frames and B-frames, x265 gives packets whatever DTS lies in memory (seen in PyAV 18)."""
MAX_HEVC_QUALITY = 51
"""The largest quantizer of HEVC."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoder and quality.

    Attributes:
        name: as ``write.encoder``.
        quality: constant rate factor; lower gives better quality and larger files.
        keeps_hdr: HDR is encoded as HEVC of 10 bit, whatever the name; else it is tone-mapped.
        peak_nits: of the HDR clip that is tone-mapped; None where it was not measured.
        kept: the part of the picture that is encoded, see `EncoderPictures`; None for all.
        target: width and height in square pixels, see `EncoderPictures`.
        fps: constant frames a second; None for the times of the source.
        preset: as ``write.preset``.
    """

    name: str
    quality: int
    keeps_hdr: bool = False
    peak_nits: float | None = None
    kept: KeptPart | None = None
    target: TargetSize = (None, None)
    fps: Fraction | None = None
    preset: str = "auto"

    @property
    def normalizes(self) -> bool:
        """True where size, part or rate are not those of the source, so that nothing is copied."""
        return self.kept is not None or self.target != (None, None) or self.fps is not None

    @property
    def codec(self) -> str:
        """Canonical name of the codec that it makes."""
        return self.name.partition("_")[0]

    @property
    def options(self) -> dict[str, str]:
        """Options of the FFmpeg encoder."""
        quality = str(self.quality)
        if self.name.endswith(_NVENC):
            steps = _AV1_QUANTIZERS_EACH if self.codec == "av1" else 1
            preset = {} if self.preset == "auto" else {"preset": _NVENC_PRESETS[self.preset]}
            return {"rc": "constqp", "qp": str(self.quality * steps), **preset}
        preset = _AUTO_PRESETS[self.name] if self.preset == "auto" else self.preset
        return {
            "h264": {"crf": quality, "preset": preset, **_deterministic_x264()},
            "vp9": {"crf": quality, "b": "0", "deadline": "good", "cpu-used": _VP9_SPEEDS[preset]},
            "av1": {"crf": quality, "preset": _AV1_PRESETS[preset], "svtav1-params": "lp=1"},
            "hevc": {"crf": str(min(self.quality, MAX_HEVC_QUALITY)), "preset": preset, "x265-params": _X265},
        }[self.name]

    @property
    def options_without_b_frames(self) -> dict[str, str]:
        """Further options, so that packets are in the order of the frames; VP9 and AV1 packets always are."""
        return {"bf": "0"} if self.name.startswith("h264") or self.name.endswith(_NVENC) else {}

    @property
    def ffmpeg_name(self) -> str:
        """The encoder's name in FFmpeg."""
        return _ENCODERS.get(self.name, self.name)


def _deterministic_x264() -> dict[str, str]:
    """Options with which x264 writes the same bytes each time.

    Its AVX-512 lookahead reads uninitialised memory (seen in PyAV 18 with 480x270: seven different files of twelve
    runs). Every such machine has SSE 4.2, which gives the same bytes as AVX2 and costs no measurable time.
    """
    return {"x264-params": "asm=SSE4.2"} if platform.machine().lower() in ("x86_64", "amd64") else {}


def check_encoder(encoding: Encoding, device: str = "cpu") -> None:
    """Check that this machine can encode with these settings.

    Args:
        encoding: encoder and quality.
        device: of the worker, which NVENC is part of.

    Raises:
        ParamsError: this FFmpeg lacks the encoder, or the encoder's device is missing.
    """
    name = encoding.ffmpeg_name
    os.environ.setdefault("SVT_LOG", "1")  # otherwise SVT-AV1 prints its settings to stderr at each start
    try:
        context = cast(VideoCodecContext, Codec(name, "w").create())
        context.width, context.height, context.pix_fmt = 256, 256, SDR_FORMAT
        context.time_base, context.options = Fraction(1, 25), encoding.options
        with no_realtime_priority():
            context.open()
    except FFmpegError as error:
        card = card_of(device) if name.endswith(_NVENC) else None
        why = why_not_encoded(card, encoding.codec) if card is not None else None
        raise ParamsError(
            f"write.encoder {encoding.name} requires {name}, which does not work here: "
            f"{why or error.strerror or error}. Set write.encoder to h264, or run where it works.",
            "write.encoder",
        ) from error


class Encoder:
    """Encodes decoded frames into one video stream of an output.

    Args:
        output: an MP4 to which nothing has been muxed.
        source: the stream that the frames come from.
        encoding: encoder and quality.
        first: a frame of the span; its size, orientation and colour are those of all.
        num_frames: that will be encoded.
        time_base: of the frames' times, in seconds.
        is_constant_rate: false if frames differ in length. An MP4 stores the length of the packet that comes last in
            the file; with B-frames that is not the last frame's, which only matters where lengths differ.
    """

    def __init__(
        self,
        output: OutputContainer,
        source: VideoStream,
        encoding: Encoding,
        *,
        first: DecodedFrame,
        num_frames: int,
        time_base: Fraction,
        is_constant_rate: bool = True,
    ) -> None:
        self._pictures = EncoderPictures(
            first.frame,
            first.pixel_aspect,
            kept=encoding.kept,
            target=encoding.target,
            keeps_hdr=encoding.keeps_hdr,
            peak_nits=encoding.peak_nits,
        )
        colour = self._pictures.colour
        if colour.pixel_format == HDR_FORMAT:
            encoding = replace(encoding, name="hevc")
        options = encoding.options
        has_b_frames = is_constant_rate and (encoding.name != "hevc" or num_frames >= MIN_FRAMES_HEVC_B)
        if encoding.name == "hevc":
            options["x265-params"] += x265_hdr_parameters(first.frame) + ("" if has_b_frames else ":bframes=0")
        elif not has_b_frames:
            options |= encoding.options_without_b_frames
        rate = encoding.fps or frame_rate(source) or DEFAULT_RATE
        declared_rate = rate.limit_denominator(MAX_RATE_DENOMINATOR)
        track = output.add_stream(encoding.ffmpeg_name, rate=declared_rate, options=options)
        self._track = cast(VideoStream, track)  # add_stream's type is exact only for encoder names in its stub
        context = self._track.codec_context
        if encoding.codec == "hevc":
            context.codec_tag = "hvc1"  # with hev1, FFmpeg's default, Safari and QuickTime play nothing
        context.pix_fmt, context.time_base = colour.pixel_format, time_base
        context.width, context.height = self._pictures.size.width, self._pictures.size.height
        context.sample_aspect_ratio = self._pictures.pixel_aspect
        # With more threads the bytes would depend on the number of cores.
        context.thread_count = 1
        context.color_range = ColorRange.MPEG
        context.colorspace, context.color_primaries = colour.colorspace, colour.primaries
        context.color_trc = colour.transfer

    @property
    def codec(self) -> str:
        """Canonical name of the video codec."""
        return self._track.codec_context.codec.canonical_name

    def packets(self, frames: Iterator[DecodedFrame], span: Span) -> Iterator[Packet]:
        """Encoded packets; each frame's duration ends at the next frame, the last one's at the end of the span."""
        durations: dict[int, int] = {}
        previous: DecodedFrame | None = None
        for decoded in frames:
            if previous is not None:
                durations[previous.pts - span.start_pts] = decoded.pts - previous.pts
                yield from self._encode(previous, span.start_pts, durations)
            previous = decoded
        if previous is not None:
            durations[previous.pts - span.start_pts] = span.end_pts - previous.pts
            yield from self._encode(previous, span.start_pts, durations)
        yield from self._with_durations(self._encoded(None), durations)

    def _encode(self, decoded: DecodedFrame, start_pts: int, durations: dict[int, int]) -> Iterator[Packet]:
        frame = self._pictures(decoded.frame)
        frame.pts, frame.time_base = decoded.pts - start_pts, self._track.codec_context.time_base
        # A decoded frame keeps its picture type, and the encoder would use it.
        frame.pict_type = PictureType.NONE
        return self._with_durations(self._encoded(frame), durations)

    def _encoded(self, frame: VideoFrame | None) -> list[Packet]:
        with no_realtime_priority():  # the first call opens the encoder
            return self._track.encode(frame)

    def _with_durations(self, packets: list[Packet], durations: dict[int, int]) -> Iterator[Packet]:
        for packet in packets:
            packet.duration = durations.pop(packet.pts or 0, packet.duration)
            yield packet
