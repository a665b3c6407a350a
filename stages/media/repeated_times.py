"""Times of sound packets that are late, as FFmpeg writes them into MP4 of one frame a fragment.

Of the packets of sound that fall between two frames of the video, FFmpeg gives all the time of the last one:

    written   0  _  2048 2048  _  4096 4096      spread   0  1024 2048 3072 4096 ...
"""

from collections.abc import Iterable, Iterator

from av.packet import Packet

MAX_LATE_PACKETS = 16
"""Packets are late by the length of so many at most, and so many in a row: those of two frames of 6 frames/s."""


class RepeatedTimes:
    """Moves late packets of sound to where the ones before them end, if time is made up for by packets that overlap.

    Where it is not, sound is missing, and times are kept.
    """

    def __init__(self) -> None:
        self._held: list[Packet] = []
        self._expected: int | None = None
        self._held_until = 0
        """Where the held packets would end if no sound were missing before them."""

    def spread(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """The same packets in the same order."""
        for packet in packets:
            yield from self.push(packet)
        yield from self.flush()

    def push(self, packet: Packet) -> list[Packet]:
        """The packets whose times are known now: this one, those that were held, or none yet."""
        length = packet.duration or 0
        if packet.pts is None or self._expected is None or not length:
            return [*self.flush(), self._pass(packet)]
        late = packet.pts - (self._held_until if self._held else self._expected)
        if self._held and abs(late) <= length // 2:
            return [*self._moved(), self._pass(packet)]
        if length <= late <= MAX_LATE_PACKETS * length and len(self._held) < MAX_LATE_PACKETS:
            self._held_until = (self._held_until if self._held else self._expected) + length
            self._held.append(packet)
            return []
        return [*self.flush(), self._pass(packet)]

    def flush(self) -> list[Packet]:
        """The packets that are held, with their times."""
        held, self._held = self._held, []
        return [self._pass(packet) for packet in held]

    def _moved(self) -> list[Packet]:
        held, self._held = self._held, []
        for packet in held:
            packet.pts = packet.dts = self._expected
            self._pass(packet)
        return held

    def _pass(self, packet: Packet) -> Packet:
        if packet.pts is not None:
            self._expected = packet.pts + (packet.duration or 0)
        return packet
