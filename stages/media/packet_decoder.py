"""Decodes packet by packet and goes on after those that do not decode; keeps what was told of each.

A stream begins with its own decoder. Another one may go on after its first frames: one of hardware that was asked for,
else a stricter one, see `stages.media.decoders`.
"""

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import cast

import av
from av.codec import Codec
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from stages import heartbeat
from stages.media.decode_log import DecodeLog
from stages.media.decoders import (
    DecoderChoice,
    HardwareDecoderFailed,
    SoftwareDecoder,
    VideoDecoder,
    facts,
    why_not_same,
)
from stages.media.packet_times import is_ogg_header
from stages.media.packet_trials import TRIED_CODECS, PacketTrials

MAX_SKIPPED_VOP_BYTES = 16
"""An MPEG-4 packet of so few bytes may say that the last frame is shown again; it gives no frame."""
STRICT_DECODERS = {"vp9": ("libvpx-vp9", {}), "hevc": ("hevc", {"err_detect": "explode+crccheck"})}
"""Decoders, with options, that refuse damaged frames where FFmpeg's own or its defaults show them and say nothing. Of
whole streams they give the same pictures. Where HEVC tells the MD5 of its pictures, they are compared."""
STRICT_OPTIONS = {"av1": {"strict": "strict"}}
"""Options with which a stream's own decoder refuses damaged frames: it checks that the data of each tile end where its
symbols do. Without them it notices only what reads beyond the data, some of it frames later."""
MAX_EMPTY_PACKETS = 1000
"""So many in a row; a longer gap is a damaged number."""
MAX_FIRST_PACKETS = 64
"""No codec holds back the first frame for so many packets."""


class PacketDecoder:
    """Decodes the packets of a stream, in file order.

    Args:
        stream: whose own decoder begins.
        log: takes what is told of each packet.
        choice: the decoder that is asked for; it is told which decoder it became.

    Attributes:
        has_started: a frame has decoded.
        fault: why the last refused packet was refused; None where none was.
    """

    def __init__(self, stream: VideoStream, log: DecodeLog, choice: DecoderChoice | None = None) -> None:
        self._own = stream.codec_context
        self._decoder: VideoDecoder = SoftwareDecoder(self._own)
        self._choice = choice or DecoderChoice()
        self._codec = self._own.codec.canonical_name
        self._log = log
        self._first_packets: list[Packet] = []
        self._options = dict(self._own.options)  # once it is open, it keeps those alone that it does not know
        options = STRICT_OPTIONS.get(self._codec)
        self._probe = self._strict_context(self._own.codec.name, options) if options else None
        self._trials = PacketTrials(self._own, log) if self._codec in TRIED_CODECS else None
        self._counts_packets = stream.container.format.name == "avi"
        self._last_dts: int | None = None
        self.has_started = False
        self.fault: str | None = None

    @property
    def sample_aspect_ratio(self) -> Fraction | None:
        """Pixel aspect by the newest header that the decoder has read."""
        return self._decoder.context.sample_aspect_ratio

    def decode(self, packet: Packet) -> list[av.VideoFrame]:
        """The frames that the packet releases, none where it does not decode. The log has the packet afterwards.

        Raises:
            HardwareDecoderFailed: a decoder of hardware finds damage, which it shows otherwise than software does.
        """
        self.settle_doubts()
        if self._counts_packets:
            self._log_empty_packets_before(packet)
        if is_ogg_header(packet, self._codec):
            with suppress(FFmpegError):  # only some decoders take it
                self._decoder.decode(packet)
            return []
        refused: str | None = None
        frames: list[av.VideoFrame] = []
        try:
            frames = self._decode(packet)
        except FFmpegError as error:
            self.fault = refused = error.strerror or str(error)
            heartbeat.beat()
        if self._decoder.name != "software" and (
            refused or packet.is_corrupt or any(each.is_corrupt for each in frames)
        ):
            raise HardwareDecoderFailed(f"{self._decoder.name} met damage: {refused or 'a packet or frame is flagged'}")
        self._log.add_packet(
            packet.pts,
            packet.dts,
            is_key=packet.is_keyframe,
            is_flagged=packet.is_corrupt,
            is_optional=packet.is_discard or (self._codec == "mpeg4" and packet.size <= MAX_SKIPPED_VOP_BYTES),
            # A recording may begin in the middle of a GOP: what cannot be decoded before the first frame is no damage.
            refused=refused if self.has_started else None,
        )
        if self._trials is not None and self._decoder.name == "software":
            self._trials.add(packet)
        self.has_started = self.has_started or bool(frames)
        return frames

    def settle_doubts(self) -> None:
        """Try the packets of frames that the log has doubts about."""
        if self._trials is not None:
            self._trials.settle()

    def _log_empty_packets_before(self, packet: Packet) -> None:
        """Note the packets without data that FFmpeg passes over: AVI repeats a frame that way.

        A time of AVI is the number of a packet, so that a lost one leaves no gap.
        """
        dts, last = packet.dts, self._last_dts
        if dts is not None and last is not None and dts - last <= MAX_EMPTY_PACKETS:
            for back in range(dts - last - 1, 0, -1):
                pts = None if packet.pts is None else packet.pts - back
                self._log.add_packet(pts, dts - back, is_key=False, is_optional=True)
        self._last_dts = dts

    def flush(self) -> list[av.VideoFrame]:
        """The frames that the decoder still holds."""
        try:
            frames = self._decoder.decode(None)
        except FFmpegError as error:
            if self._decoder.name != "software":
                raise HardwareDecoderFailed(f"{self._decoder.name} met damage at the end: {error}") from error
            return []
        self.has_started = self.has_started or bool(frames)
        return frames

    def _decode(self, packet: Packet) -> list[av.VideoFrame]:
        if self._probe is not None:
            self._open(packet, self._probe)
        may_change = self._codec in STRICT_DECODERS or self._choice.open_hardware is not None
        if not self.has_started and may_change and len(self._first_packets) < MAX_FIRST_PACKETS:
            self._first_packets.append(packet)
        frames = self._decoder.decode(packet)
        if frames and self._first_packets:
            frames = self._change_to_hardware(frames) or self._change_to_strict(frames)
            self._first_packets = []
        if self._decoder.name == "software" and self._decoder.context.codec.name != self._own.codec.name:
            for frame in frames:
                frame.key_frame = packet.is_keyframe  # type: ignore[assignment] - stub; libvpx does not say
        return frames

    def _open(self, packet: Packet, probe: VideoCodecContext) -> None:
        """Let the own decoder be strict if the probe takes this packet, the first one.

        A stream whose first keyframe the probe refuses is decoded without: its encoder may pad otherwise.
        """
        try:
            probe.decode(packet)
        except FFmpegError:
            if not packet.is_keyframe:
                raise  # the recording begins in the middle of a GOP
        else:
            self._own.options = {**self._options, **STRICT_OPTIONS[self._codec]}
            self._log.is_prompt = self._own.thread_count == 1
        self._probe = None

    def _strict_context(self, name: str, options: Mapping[str, str]) -> VideoCodecContext:
        """Another decoder of the stream, set up as its own, with these options."""
        context = cast(VideoCodecContext, Codec(name, "r").create())
        context.flags, context.flags2 = self._own.flags, self._own.flags2
        context.thread_count, context.thread_type = self._own.thread_count, self._own.thread_type
        context.options, context.extradata = {**self._options, **options}, self._own.extradata
        return context

    def _change_to_hardware(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """Take the hardware decoder that is asked for, from the first packet on; the first frames from it, else none.

        The stream keeps its own where the hardware's first frames are others; the choice then has a note.
        """
        hardware = self._choice.hardware(self._own, frames[0])
        if hardware is None:
            return []
        try:
            found = [frame for packet in self._first_packets for frame in hardware.decode(packet)]
        except (FFmpegError, HardwareDecoderFailed) as error:
            self._choice.note = f"NVDEC does not decode its beginning: {error}"
            return []
        if difference := why_not_same(found, frames):
            self._choice.note = f"NVDEC does not decode its beginning alike: {difference}"
            return []
        self._decoder, self._choice.name = hardware, hardware.name
        return found

    def _change_to_strict(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """Take the strict decoder from the first packet on, where this FFmpeg has it; the first frames from it.

        A stream keeps its own decoder where that alone tells what the container says of the frames (a display matrix,
        the light of HDR, colours), and where the strict decoder refuses one of the first packets, which decode.
        """
        name, options = STRICT_DECODERS.get(self._codec, ("", {}))
        if name not in av.codecs_available:
            return frames
        strict = self._strict_context(name, options)
        try:
            found = [frame for packet in self._first_packets for frame in strict.decode(packet)]
        except FFmpegError:
            return frames
        if [facts(each) for each in found] != [facts(each) for each in frames]:
            return frames
        self._decoder = SoftwareDecoder(strict)
        return found
