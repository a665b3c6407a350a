"""Tries packets whose frames look doubtful: of HEVC, whose decoder shows most damage without a word."""

from collections import deque
from typing import NamedTuple

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from stages.media.decode_log import DecodeLog
from stages.media.slice_ends import SliceEnds

TRIED_CODECS = frozenset({"hevc"})
MAX_HELD_PACKETS = 48
MAX_HELD_BYTES = 16 << 20
"""Of the last packets, so many are held: a frame is shown some packets after its own."""
DECODES_PER_PACKET = 1 / 16
MAX_SAVED_DECODES = 36
"""Trials take at most one decode for 16 packets, and so many more: a trial takes three. Where pictures change at once
again and again, the later ones are not tried."""


class _Held(NamedTuple):
    """A packet, its index, and how many keyframes were before it, itself included."""

    number: int
    gop: int
    packet: Packet


class PacketTrials:
    """Holds the last packets of a stream and tries those of frames that its log has doubts about.

    A packet is tried once, and none behind a damaged one in its GOP, where frames are suspected anyway.

    Args:
        context: of the stream, with its headers.
        log: has the doubts, and is told which packets are damaged.
    """

    def __init__(self, context: VideoCodecContext, log: DecodeLog) -> None:
        self._log = log
        self._ends = SliceEnds(context)
        self._held: deque[_Held] = deque()
        self._held_bytes = self._num_gops = 0
        self._damaged_gop: int | None = None
        self._tried: set[int] = set()
        self._first: Packet | None = None
        self._is_trusted: bool | None = None
        self._allowed = float(MAX_SAVED_DECODES)

    def add(self, packet: Packet) -> None:
        """Hold a packet that the log has been told of last."""
        if packet.has_sidedata("new_extradata"):
            self._is_trusted = False  # it is not known which packets the new headers hold for
        if packet.is_keyframe:
            self._ends.take_headers(bytes(packet))
            self._first = self._first or packet
            self._num_gops += 1
        self._held.append(_Held(self._log.num_packets - 1, self._num_gops, packet))
        self._held_bytes += packet.size
        while len(self._held) > MAX_HELD_PACKETS or self._held_bytes > MAX_HELD_BYTES:
            oldest = self._held.popleft()
            self._held_bytes -= oldest.packet.size
            self._tried.discard(oldest.number)
        self._allowed = min(self._allowed + DECODES_PER_PACKET, MAX_SAVED_DECODES)

    def settle(self) -> None:
        """Try the packets of the frames that are doubted, and tell the log of damaged ones.

        Of each frame, its own is tried, and those decoded before and shown after it, from which it may be predicted.
        """
        for pts in self._log.take_doubts():
            own = max((each.number for each in self._held if each.packet.pts == pts), default=-1)
            for number, gop, packet in self._held:
                is_concerned = number <= own and packet.pts is not None and packet.pts >= pts
                if is_concerned and number not in self._tried and gop != self._damaged_gop and self._allowed >= 1:
                    self._tried.add(number)
                    if self._is_damaged(packet):
                        self._damaged_gop = gop
                        self._log.accuse(number)

    def _is_damaged(self, packet: Packet) -> bool:
        """True where the packet is proven damaged; a stream whose first picture seems to be proves nothing."""
        if self._is_trusted is None and self._first is not None:
            self._is_trusted = self._try(self._first) is False
        return bool(self._is_trusted) and self._try(packet) is True

    def _try(self, packet: Packet) -> bool | None:
        before = self._ends.num_decoded
        found = self._ends.are_wrong(bytes(packet))
        self._allowed -= self._ends.num_decoded - before
        return found
