"""Encodes the first or last frames of a span so that they stand in one stream with packets of the source.

Size, pixel format, range, colours and pixel aspect are those of the source, and so are profile and level of H.264. What
differs is said by parameter sets of their own ids, which stand beside the source's in the clip's header.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import cast

import av
from av.codec import Codec
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from stages.media.colour import Colour
from stages.media.decode import DecodedFrame
from stages.media.encode import DEFAULT_RATE, MAX_RATE_DENOMINATOR, Encoding
from stages.media.h264_sequence import H264Sequence, h264_picture_set_id, read_h264_sequence
from stages.media.hevc_renumbering import SPS, HevcIds, num_reordered, renumbered
from stages.media.nal_units import UnitLayout, UnreadableUnits, annex_b_units, is_parameter_set, unit_type
from stages.media.orientation import Orientation
from stages.media.stream_choice import frame_rate
from stages.media.stream_copy import NotCopyable

MAX_QUANTIZER = 51
_H264_SPS, _H264_PPS = 7, 8
_H264_PROFILES = {66: "baseline", 77: "main", 100: "high", 110: "high10"}
_H264_FORMATS = {"yuv420p": (66, 77, 100), "yuvj420p": (66, 77, 100), "yuv420p10le": (110,)}
"""Profiles of streams of these pixel formats that the encoder has too."""
_HEVC_FORMATS = ("yuv420p", "yuvj420p", "yuv420p10le")
_LARGEST_H264_ID = 31
_LEVELS = range(10, 63)
"""level_idc of H.264, ten times the level; 1b, which baseline streams tell otherwise, is left to the encoder."""


@dataclass(frozen=True, slots=True)
class EncodedUnits:
    """The NAL units of an encoded frame, and its time."""

    pts: int
    is_keyframe: bool
    units: list[bytes]


@dataclass(frozen=True, slots=True)
class Edge:
    """Encoded frames in the order of the stream, and the parameter sets that they name."""

    frames: list[EncodedUnits]
    parameter_sets: list[bytes]


class EdgeEncoder:
    """Encodes edges of clips of one source.

    Args:
        stream: of the source, H.264 or HEVC.
        layout: of its packets.
        encoding: quality and preset.
        time_base: of the frames' times, in seconds.

    Raises:
        NotCopyable: the encoder cannot make what the stream is.
        UnreadableUnits: its headers cannot be read.
    """

    def __init__(self, stream: VideoStream, layout: UnitLayout, encoding: Encoding, time_base: Fraction) -> None:
        self._stream = stream
        self._codec = layout.codec
        self._time_base = time_base
        self._encoding = replace(encoding, name=layout.codec, quality=min(encoding.quality, MAX_QUANTIZER))
        self._options = self._encoding.options
        try:
            self._encoder = Codec(self._encoding.ffmpeg_name, "w")
        except ValueError as error:
            raise NotCopyable(f"Encoded edges require {self._encoding.ffmpeg_name}, and FFmpeg lacks it.") from error
        if stream.width % 2 or stream.height % 2:
            raise NotCopyable(f"Encoded edges must have even sides, got {stream.width}x{stream.height}.")
        if layout.codec == "h264":
            self._options |= _h264_options(layout, stream.pix_fmt)
            self._renumbered = bytes
        elif stream.pix_fmt in _HEVC_FORMATS:
            self._options["x265-params"] += f":info=0{_hevc_b_frames(layout)}"
            self._renumbered = partial(renumbered, ids=HevcIds.beside(layout.parameter_sets))
        else:
            raise NotCopyable(f"Encoded edges of HEVC must be 4:2:0 of 8 or 10 bit, got {stream.pix_fmt}.")

    def encode(self, frames: Iterator[DecodedFrame]) -> Edge:
        """Encode frames as a stream of their own, which begins with a keyframe.

        Raises:
            NotCopyable: a frame is turned, interlaced, HDR, or of another kind than the first; or the encoder fails.
            UnreadableUnits: the encoder's stream is not as expected.
        """
        context: VideoCodecContext | None = None
        packets: list[Packet] = []
        first: tuple[object, ...] = ()
        try:
            for decoded in frames:
                kind = _kind_of(decoded.frame)
                if context is None:
                    context, first = self._open(decoded.frame), kind
                if kind != first or decoded.frame.format.name != self._stream.pix_fmt:
                    raise NotCopyable(f"Frames of encoded edges must be of one kind, got {first} and {kind}.")
                decoded.frame.pts, decoded.frame.time_base = decoded.pts, self._time_base
                decoded.frame.pict_type = PictureType.NONE
                packets += context.encode(decoded.frame)
            if context is None:
                raise NotCopyable("Encoded edges must hold frames, and this one has none.")
            packets += context.encode(None)
        except FFmpegError as error:
            raise NotCopyable(f"The edge cannot be encoded: {error.strerror or error}.") from error
        return Edge([self._units_of(packet) for packet in packets], self._parameter_sets(context.extradata or b""))

    def _open(self, frame: av.VideoFrame) -> VideoCodecContext:
        _check(frame)
        context = cast(VideoCodecContext, self._encoder.create())
        context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
        rate = frame_rate(self._stream) or DEFAULT_RATE
        context.time_base, context.framerate = self._time_base, rate.limit_denominator(MAX_RATE_DENOMINATOR)
        context.color_range, context.colorspace = frame.color_range, frame.colorspace
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        context.sample_aspect_ratio = self._stream.codec_context.sample_aspect_ratio or Fraction(0)
        context.options, context.thread_count = dict(self._options), 1
        context.flags |= Flags.global_header
        return context

    def _units_of(self, packet: Packet) -> EncodedUnits:
        units = [self._renumbered(unit) for unit in annex_b_units(bytes(packet))]
        return EncodedUnits(packet.pts or 0, packet.is_keyframe, units)

    def _parameter_sets(self, header: bytes) -> list[bytes]:
        units = annex_b_units(header)
        return [self._renumbered(unit) for unit in units if is_parameter_set(self._codec, unit)]


def h264_sequences(parameter_sets: Iterator[bytes] | tuple[bytes, ...] | list[bytes]) -> list[H264Sequence]:
    """The sequence parameter sets among these."""
    return [read_h264_sequence(unit) for unit in parameter_sets if unit_type("h264", unit) == _H264_SPS]


def _h264_options(layout: UnitLayout, pixel_format: str | None) -> dict[str, str]:
    """What makes x264 write a stream of the profile and level of the source, with ids of its own."""
    sequences = h264_sequences(layout.parameter_sets)
    if len(sequences) != 1:
        raise NotCopyable(f"Joined H.264 must have one sequence parameter set, got {len(sequences)}.")
    (sequence,) = sequences
    if sequence.profile not in _H264_FORMATS.get(pixel_format or "", ()) or sequence.has_fields:
        kind = "with fields" if sequence.has_fields else f"profile {sequence.profile}"
        raise NotCopyable(f"The encoder must have the source's profile, got {kind} of {pixel_format}.")
    taken = {sequence.set_id}
    taken |= {h264_picture_set_id(unit) for unit in layout.parameter_sets if unit_type("h264", unit) == _H264_PPS}
    free = next((number for number in range(_LARGEST_H264_ID, 0, -1) if number not in taken), None)
    if free is None:
        raise UnreadableUnits("Of the ids of parameter sets one must be free, and all are taken.")
    base = Encoding("h264", 0).options.get("x264-params")
    options = {"profile": _H264_PROFILES[sequence.profile]}
    options["x264-params"] = ":".join(filter(None, (base, f"sps-id={free}")))
    if sequence.level in _LEVELS:
        options["level"] = f"{sequence.level // 10}.{sequence.level % 10}"
    return options


def _hevc_b_frames(layout: UnitLayout) -> str:
    """What makes x265 reorder no more than the source: FFmpeg prepares its decoder by the source's header alone."""
    sequences = [unit for unit in layout.parameter_sets if unit_type("hevc", unit) == SPS]
    return {0: ":bframes=0", 1: ":b-pyramid=0"}.get(min(map(num_reordered, sequences), default=0), "")


def _check(frame: av.VideoFrame) -> None:
    if Orientation.of(frame) != Orientation():
        raise NotCopyable("Joined frames must be upright, and these are turned.")
    if frame.interlaced_frame:
        raise NotCopyable("Joined frames must be progressive, and these are interlaced.")
    if Colour.of(frame).is_hdr:
        raise NotCopyable("Joined frames must be SDR, and these are HDR.")


def _kind_of(frame: av.VideoFrame) -> tuple[object, ...]:
    colours = (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc)
    return frame.width, frame.height, frame.format.name, *map(int, colours), frame.interlaced_frame
