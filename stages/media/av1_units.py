"""Reads the temporal units of an AV1 stream past damage: the headers of their frames, and which of these decoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from av.codec import Codec
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from stages import heartbeat
from stages.media.av1_headers import (
    FRAME,
    FRAME_HEADER,
    SEQUENCE_HEADER,
    TILES,
    FrameHeader,
    Sequence,
    UnreadableHeader,
    parts,
    read_frame,
    read_sequence,
)
from stages.media.container import video_stream
from stages.media.decode_log import REFUSED, DecodeLog
from stages.media.decoders import copy_settings
from stages.media.gaps import NO_PTS, gaps
from stages.media.packet_decoder import STRICT_OPTIONS
from stages.media.packet_times import PacketTimes


class Unit(NamedTuple):
    """A temporal unit.

    Attributes:
        pts: in the stream's time base; `NO_PTS` where it has none.
        headers: of its frames, up to the first that cannot be read, without repeated ones.
        is_whole: all of it can be read, and it shows one frame.
        is_lost: the decoder gave no frame for it.
        num_decoded: frames of a lost unit that decoded before the decoder refused the rest.
        missing_before: units that the file lacks before it, as far as its time tells.
    """

    pts: int
    headers: list[FrameHeader]
    is_whole: bool
    is_lost: bool
    num_decoded: int
    missing_before: int

    @property
    def is_key(self) -> bool:
        """It shows a keyframe."""
        return any(header.is_key and header.is_shown for header in self.headers)


@dataclass
class UnitReader:
    """Reads the units of a stream, in file order.

    Args:
        container: not yet read from.
        log: of the decode of the same stream.

    Attributes:
        sequence: the last sequence header; None before the first.
    """

    container: InputContainer
    log: DecodeLog
    sequence: Sequence | None = None

    def units(self) -> list[Unit]:
        """All units; none where the log is not of this stream."""
        stream = video_stream(self.container)
        pts, _, is_key, fault, _ = self.log.packets()
        frame_pts, _, _ = self.log.frames()
        is_lost = ((fault > 0) | ~np.isin(pts, frame_pts)).tolist()
        missing = np.append(0, gaps(pts)[:-1]).tolist()
        is_refused = (fault == REFUSED) & self.log.is_prompt
        is_decoded = _up_to_refused(is_key > 0, is_refused)
        decoder: VideoCodecContext | None = None
        found: list[Unit] = []
        for number, packet in enumerate(PacketTimes(self.container, stream).packets()):
            if number >= len(fault):
                return []
            num_decoded = 0
            if is_decoded[number]:
                if decoder is None or is_key[number]:
                    decoder = _strict_decoder(stream.codec_context)
                num_decoded = _num_decoded(decoder, packet, is_refused=bool(is_refused[number]))
            headers, is_whole = self._headers(packet, is_lost=is_lost[number])
            time = NO_PTS if packet.pts is None else packet.pts
            found.append(Unit(time, headers, is_whole, is_lost[number], num_decoded, missing[number]))
        return found if len(found) == len(fault) else []

    def _headers(self, packet: Packet, *, is_lost: bool) -> tuple[list[FrameHeader], bool]:
        """The headers that can be read, and whether they are those of a whole unit."""
        found: list[FrameHeader] = []
        try:
            for part in parts(bytes(packet)):
                if part.kind == SEQUENCE_HEADER and not (
                    is_lost and self.sequence
                ):  # what is damaged may look like one
                    self.sequence = read_sequence(part.contents)
                elif part.kind in (FRAME, FRAME_HEADER) and self.sequence is not None:
                    found.append(read_frame(part.contents, self.sequence))
        except UnreadableHeader:
            return found, False
        return found, sum(header.is_shown for header in found) == 1


def _up_to_refused(is_key: np.ndarray, is_refused: np.ndarray) -> np.ndarray:
    """Packets from the keyframe of a GOP to the last refused one in it, bool ``[N]``."""
    gop = np.cumsum(is_key)
    last = np.full(int(gop[-1]) + 1 if len(gop) else 1, -1)
    refused = np.flatnonzero(is_refused)
    np.maximum.at(last, gop[refused], refused)
    return np.arange(len(gop)) <= last[gop]


def _strict_decoder(own: VideoCodecContext) -> VideoCodecContext:
    decoder = cast(VideoCodecContext, Codec(own.codec.name, "r").create())
    copy_settings(own, decoder)
    decoder.thread_count, decoder.thread_type = 1, "NONE"
    decoder.options = {**decoder.options, **STRICT_OPTIONS["av1"]}
    return decoder


def _num_decoded(decoder: VideoCodecContext, packet: Packet, *, is_refused: bool) -> int:
    """Decode a unit; of a refused one, part by part up to the one that is refused. The frames that decoded there.

    A decoder that gets a whole unit leaves out the rest of it likewise, so that its slots are the same.
    """
    heartbeat.beat()
    num_decoded = 0
    try:
        if not is_refused:
            decoder.decode(packet)
            return 0
        for kind, whole in _whole_parts(packet):
            if kind == TILES:
                return max(0, num_decoded - 1)  # of a frame whose header stands alone, the end is not looked for
            decoder.decode(Packet(whole))
            num_decoded += kind in (FRAME, FRAME_HEADER)
    except (FFmpegError, UnreadableHeader):
        pass
    return num_decoded


def _whole_parts(packet: Packet) -> Iterator[tuple[int, bytes]]:
    for part in parts(bytes(packet)):
        yield part.kind, part.whole
