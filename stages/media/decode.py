"""Decodes frames in presentation order with exact PTS past damage, to the end of the stream."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
from av.codec.context import Flags, Flags2
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from stages import heartbeat
from stages.errors import CorruptStream
from stages.media.container import MAX_PIXELS, video_stream
from stages.media.container_crop import Crop, cropped
from stages.media.decode_log import DecodeLog
from stages.media.decoders import DecoderChoice
from stages.media.frame_lengths import FrameLengths
from stages.media.frame_times import FrameTimes, TimedFrame
from stages.media.packet_decoder import PacketDecoder
from stages.media.packet_times import PacketTimes, default_step
from stages.media.sections import Indivisible
from stages.media.sound_damage import SoundLog

MAX_FILE_PASSES = 10
"""Limit of packet bytes read, in file sizes: an index of few bytes can refer to the same frames a million times."""
TS_PACKET_BYTES = (188, 192, 204)
"""Packet lengths of MPEG transport streams: plain, with a timestamp before each packet, with a checksum after it."""


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame with its index and PTS.

    Attributes:
        frame: the decoder's output, before rotation and pixel aspect are applied.
        index: in presentation order from 0.
        pts: in the stream's time base; rises from frame to frame.
        is_keyframe: true if the frame decodes without any other.
        num_restarts: how often the source has begun anew, a few frames after this one at the latest: times that begin
            again, or another header for the decoder.
        pixel_aspect: width of a pixel by its height.
    """

    frame: av.VideoFrame
    index: int
    pts: int
    is_keyframe: bool
    num_restarts: int = 0
    pixel_aspect: Fraction = Fraction(1)


class Entry(NamedTuple):
    """Where the decode of a section begins.

    Attributes:
        pts: of its first frame, a keyframe, as the packets tell it.
        index: of that frame.
    """

    pts: int
    index: int


def decode_frames(
    container: InputContainer,
    *,
    num_threads: int = 1,
    export_vectors: bool = False,
    decoded_from: int | None = None,
    entry: Entry | None = None,
    log: DecodeLog | None = None,
    sound: SoundLog | None = None,
    choice: DecoderChoice | None = None,
) -> Iterator[DecodedFrame]:
    """Decode every frame of the video stream, see `video_stream`.

    Empty packets are skipped (Theora repeats a frame that way), and so are packets before the first that decodes (a
    recording may begin in the middle of a GOP). Decoding goes on after a packet that does not decode.

    Args:
        container: from `open_video`, not yet read from.
        num_threads: decoder threads. With 1 no thread is started; with more, a fault also loses the frames in flight.
        export_vectors: export the codec's motion vectors as frame side data, where the codec has them.
        decoded_from: packets before the keyframe before this PTS are read and not decoded; indices count from there.
        entry: begin here, by a seek; packets before it are not read.
        log: takes what demuxer and decoder tell of each packet and frame; `stream_damage` reads it.
        sound: takes the packets of its stream, which are read on the way.
        choice: the decoder that is asked for, see `DecoderChoice`; the software one by default.

    Raises:
        HardwareDecoderFailed: the decoder of hardware gives up, after some frames.
        NoVideoStream: the container has no video stream.
        CorruptStream: packets do not decode, or the stream ends before its declared duration. Raised after all frames.
        Indivisible: the seek to the entry misses it.
    """
    stream = video_stream(container)
    _set_up_decoder(stream.codec_context, num_threads, export_vectors=export_vectors)
    log = DecodeLog() if log is None else log
    decoder = PacketDecoder(stream, log, choice)
    packets = PacketTimes(container, stream, sound.stream if sound is not None else None)
    times = FrameTimes(stream, packets)
    numbering = _Numbering(stream, packets, times, decoder, first_index=entry.index if entry else 0)
    fault: str | None = None
    read = packets.packets() if decoded_from is None else packets.packets_from(decoded_from)
    if entry is not None and entry.index:
        read = _from_entry(container, stream, read, entry.pts)
    items = _raw_frames(container, _pictures_alone(read, stream, sound), decoder)
    crop = Crop.of(container, stream)
    for item in items if crop is None else cropped(items, crop):
        if isinstance(item, str):
            fault = item
            break
        heartbeat.beat()
        numbering.see(item)
        ready = times.push(item)
        if ready is None:
            yield from numbering.number(times.flush())
            fault = f"time jumps from PTS {times.last} to {item.pts}"
            break
        log.add_frame(item.pts, is_flagged=item.is_corrupt)
        yield from numbering.number(ready)
    yield from numbering.number(times.flush())
    decoder.settle_doubts()
    fault = fault or times.missing_tail(numbering.end_pts()) or _truncated_packet(container)
    if message := _damage_message(fault, times.last, log):
        raise CorruptStream(container.name, message, times.last)


def _set_up_decoder(context: VideoCodecContext, num_threads: int, *, export_vectors: bool) -> None:
    """Set what `decode_frames` asks of the decoder, which must not be open yet."""
    # FRAME threading only: slice threading would change nothing here, and AUTO has hung.
    context.thread_count = num_threads
    context.thread_type = "FRAME" if num_threads > 1 else "NONE"
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a later frame may be larger than the header says
    # Without this flag FFmpeg leaves out what the stream says to crop at the left, unless it is a multiple of 32 bytes.
    context.flags |= Flags.unaligned
    if export_vectors:
        context.flags2 |= Flags2.export_mvs


def _damage_message(fault: str | None, last_pts: int | None, log: DecodeLog) -> str | None:
    """What is wrong with the stream: where it breaks, else what does not decode; None for a whole one."""
    if fault is not None:
        where = "before its first frame" if last_pts is None else f"after PTS {last_pts}"
        return f"The video stream breaks {where}: {fault}. Copy the file again or repair it."
    if log.num_refused:
        where = "without a time" if log.first_refused_pts is None else f"at PTS {log.first_refused_pts}"
        return (
            f"The video stream is damaged: {log.num_refused} packets do not decode, the first {where}: "
            f"{log.first_fault}. Copy the file again or repair it."
        )
    return None


class _Numbering:
    """Makes `DecodedFrame`s of frames in presentation order, each with the pixel aspect that holds for it."""

    def __init__(
        self,
        stream: VideoStream,
        packets: PacketTimes,
        times: FrameTimes,
        decoder: PacketDecoder,
        *,
        first_index: int = 0,
    ) -> None:
        self._decoder = decoder
        self._packets = packets
        self._times = times
        self._step = default_step(stream)
        self._aspect = stream.sample_aspect_ratio or Fraction(1)
        # Where the container tells an aspect of its own, that one holds.
        self._is_codecs = stream.sample_aspect_ratio == decoder.sample_aspect_ratio
        self._codec_aspect = decoder.sample_aspect_ratio
        self._num_seen = self._changes_at = 0
        self._aspects: deque[Fraction] = deque()
        self._index = first_index
        self._lengths = FrameLengths()
        self._last_pts = 0

    def see(self, frame: av.VideoFrame) -> None:
        """Note the aspect of the decoder's next frame. A decoder tells a new one with the packet, frames later."""
        aspect = self._decoder.sample_aspect_ratio if self._is_codecs else None
        if self._is_codecs and self._codec_aspect != aspect:
            self._codec_aspect = aspect
            self._changes_at = self._packets.num_pictures - 1
        if self._is_codecs and frame.key_frame and self._num_seen >= self._changes_at:
            self._aspect = self._codec_aspect or Fraction(1)
        self._num_seen += 1
        self._aspects.append(self._aspect)

    def number(self, ready: list[TimedFrame]) -> Iterator[DecodedFrame]:
        """The frames, which are those that were seen, in the same order."""
        for frame, pts in ready:
            self._last_pts = pts
            self._lengths.add(pts, frame.duration)
            aspect = self._aspects.popleft()
            yield DecodedFrame(frame, self._index, pts, bool(frame.key_frame), self._times.num_restarts, aspect)
            self._index += 1

    def end_pts(self) -> int:
        """End of the last frame that was numbered."""
        return self._last_pts + self._lengths.last(self._step, self._times.end_by_header)


def _raw_frames(
    container: InputContainer, packets: Iterator[Packet], decoder: PacketDecoder
) -> Iterator[av.VideoFrame | str]:
    """Frames as decoded; where the stream breaks, a last item of type str describes the fault."""
    fault: str | None = None
    is_truncated = False
    bytes_left = MAX_FILE_PASSES * container.size
    try:
        for packet in packets:
            bytes_left -= packet.size
            if bytes_left < 0:
                yield "its index names the same bytes again and again"
                return
            is_truncated = packet.is_corrupt
            yield from decoder.decode(packet)
    except FFmpegError as error:
        fault, is_truncated = error.strerror or str(error), True
    yield from decoder.flush()
    if not decoder.has_started:
        yield fault or decoder.fault or "no frame decodes"
    elif is_truncated:
        yield fault or "the last packet is cut off"


def _from_entry(
    container: InputContainer, stream: VideoStream, packets: Iterator[Packet], pts: int
) -> Iterator[Packet]:
    """The packets from the keyframe of this PTS on, after a seek.

    Raises:
        Indivisible: the seek fails, or leads behind it.
    """
    try:
        container.seek(pts, stream=stream)
    except FFmpegError as error:
        raise Indivisible(f"The file cannot be sought in: {error}") from error
    for packet in packets:
        heartbeat.beat()
        if packet.is_keyframe and packet.pts == pts:
            yield packet
            break
        if packet.pts is None or packet.pts > pts:
            raise Indivisible("Seeking in the file misses a keyframe.")
    yield from packets


def _pictures_alone(packets: Iterator[Packet], video: VideoStream, sound: SoundLog | None) -> Iterator[Packet]:
    """The packets of the video; those of the sound, which are read where it has a log, go there."""
    for packet in packets:
        if sound is None or packet.stream_index == video.index:
            yield packet
        else:
            sound.add(packet)


def _truncated_packet(container: InputContainer) -> str | None:
    """The fault of a transport stream that ends inside a packet. Such a stream declares no duration to compare with."""
    if container.format.name != "mpegts" or not all(container.size % length for length in TS_PACKET_BYTES):
        return None
    return "its last packet is cut off"
