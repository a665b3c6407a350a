"""Times of sound packets that are late, or that have none.

Of the packets of sound that fall between two frames of the video, FFmpeg gives all the time of the last one, as it
writes MP4 of one frame a fragment:

    written   0  _  2048 2048  _  4096 4096      right   0  1024 2048 3072 4096 ...

Of Ogg it gives, at the ends of pages, none to some packets where pictures are read with the sound:

    read      _  _  1600 2624  _  4672           right   0  576 1600 2624 3648 4672
"""

from collections.abc import Iterable, Iterator

from av.packet import Packet

MAX_LATE_PACKETS = 16
"""Packets are late by the length of so many at most, and so many in a row: those of two frames of 6 frames/s."""
MAX_FIRST_PACKETS = 256
"""So many without a time are held until the first with one."""


class SoundTimes:
    """Gives the packets of a stream of sound, in their order, the times at which they are heard.

    Late packets are moved to where the ones before them end, if time is made up for by packets that overlap. Where it
    is not, sound is missing, and times are kept. Packets without a time follow the ones before them, or lie before the
    one after them where nothing is known of those.
    """

    def __init__(self) -> None:
        self._first: list[Packet] = []
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
        if packet.pts is None:
            return self._push_untimed(packet)
        before = self._before(packet)
        length = packet.duration or 0
        if self._expected is None or not length:
            return [*before, *self._flush_held(), self._pass(packet)]
        late = packet.pts - (self._held_until if self._held else self._expected)
        if self._held and abs(late) <= length // 2:
            return [*self._moved(), self._pass(packet)]
        if length <= late <= MAX_LATE_PACKETS * length and len(self._held) < MAX_LATE_PACKETS:
            self._held_until = (self._held_until if self._held else self._expected) + length
            self._held.append(packet)
            return before
        return [*before, *self._flush_held(), self._pass(packet)]

    def flush(self) -> list[Packet]:
        """The packets that are held, with the times that they have."""
        first, self._first = self._first, []
        return [*first, *self._flush_held()]

    def _push_untimed(self, packet: Packet) -> list[Packet]:
        if self._expected is None:
            self._first.append(packet)
            return self.flush() if len(self._first) > MAX_FIRST_PACKETS else []
        ready = self._flush_held()
        packet.pts = packet.dts = self._expected
        return [*ready, self._pass(packet)]

    def _before(self, packet: Packet) -> list[Packet]:
        """The first packets, which had no time, placed before the first one that has."""
        first, self._first = self._first, []
        end = packet.pts or 0
        for each in reversed(first):
            if not each.duration:
                break
            end -= each.duration
            each.pts = each.dts = end
        return first

    def _flush_held(self) -> list[Packet]:
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
            self._expected = packet.pts + packet.duration if packet.duration else None
        return packet
