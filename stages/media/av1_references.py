"""Which frames of a damaged AV1 stream need nothing that is lost, as the headers of its temporal units tell.

Each unit shows one frame. Frames that others need are coded earlier, and shown by a unit that names their slot; those
coded in the unit that shows them mostly fill no slot, and nothing hangs on them:

    unit       K0   16 8 4 2 1   show 2   3   show 4   6 5   show 6 ...       numbers: places in presentation order
    lost                            x     x                                   nothing else is damaged
                         x                    show 4                          a slot holds another frame than it should

Places of shown frames rise by one from unit to unit, so that they tell of units that the file lacks, and of slots that
a lost unit should have filled.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.packet import Packet

from stages.media.av1_headers import (
    FRAME,
    FRAME_HEADER,
    NUM_SLOTS,
    SEQUENCE_HEADER,
    FrameHeader,
    Sequence,
    UnreadableHeader,
    read_frame,
    read_sequence,
    units,
)
from stages.media.container import video_stream
from stages.media.damage import DecodeLog
from stages.media.gaps import NO_PTS, Ints
from stages.media.packet_times import PacketTimes

MIN_UNITS = 8
"""Least number of units with one coded frame that tell how the encoder uses them."""
UNNEEDED_SHARE = 0.8
"""Share of them that fill no slot, from which on a lost one is taken for such a one."""


def frames_without_losses(container: InputContainer, log: DecodeLog) -> Ints:
    """PTS of the frames that hang on no lost one. None where places in presentation order are not told.

    Args:
        container: not yet read from.
        log: of the decode of the same stream.
    """
    stream = video_stream(container)
    reader = _Reader()
    pts: list[int] = []
    read: list[list[FrameHeader]] = []
    for packet in PacketTimes(container, stream).packets():
        pts.append(NO_PTS if packet.pts is None else packet.pts)
        read.append(reader.headers(packet))
    _, _, _, fault, _ = log.packets()
    frame_pts, _, _ = log.frames()
    if len(fault) != len(read) or reader.sequence is None or not reader.sequence.hint_bits:
        return np.zeros(0, np.int64)
    alone = [headers[0] for headers in read if len(headers) == 1 and headers[0].shows_slot is None]
    unneeded = sum(header.fills == 0 for header in alone)
    may_be_unneeded = len(alone) >= MIN_UNITS and unneeded >= UNNEEDED_SHARE * len(alone)
    walk = _Walk(1 << reader.sequence.hint_bits, may_be_unneeded)
    times = np.array(pts, np.int64)
    has_no_frame = (fault > 0) | ~np.isin(times, frame_pts)
    return times[walk.sound(read, has_no_frame.tolist())]


class _Reader:
    """Reads the headers of a stream's units. What cannot be read counts as lost."""

    def __init__(self) -> None:
        self.sequence: Sequence | None = None

    def headers(self, packet: Packet) -> list[FrameHeader]:
        """The frames of a unit, without repeated headers; empty where it has none or is damaged."""
        found: list[FrameHeader] = []
        try:
            for kind, data in units(bytes(packet)):
                if kind == SEQUENCE_HEADER:
                    self.sequence = read_sequence(data)
                elif kind in (FRAME, FRAME_HEADER) and self.sequence is not None:
                    found.append(read_frame(data, self.sequence))
        except UnreadableHeader:
            return []
        return found if sum(header.is_shown for header in found) == 1 else []


class _Slot(NamedTuple):
    """What a slot holds: the place of its frame in presentation order, and whether that hangs on no lost one."""

    hint: int
    is_sound: bool


class _Inconsistent(Exception):
    """A slot does not hold what it should: a unit was lost that others need."""


@dataclass
class _Walk:
    """Follows the slots from unit to unit.

    Attributes:
        num_places: places in presentation order before they begin again.
        may_be_unneeded: nothing hangs on a frame that is coded in the unit that shows it.
    """

    num_places: int
    may_be_unneeded: bool
    _slots: list[_Slot] = field(default_factory=lambda: [_Slot(0, False)] * NUM_SLOTS)
    _last: int = 0

    def sound(self, read: list[list[FrameHeader]], is_refused: list[bool]) -> list[int]:
        """Numbers of the units whose frames hang on no lost one.

        Args:
            read: headers of each unit.
            is_refused: the decoder gives no frame for the unit.
        """
        found: list[int] = []
        of_gop: list[int] = []
        for number, (headers, is_lost) in enumerate(zip(read, is_refused, strict=True)):
            if any(header.is_key and header.is_shown for header in headers):
                found += of_gop
                of_gop = []
            try:
                if self._take(headers, is_lost=is_lost) and not is_lost:
                    of_gop.append(number)
            except _Inconsistent:
                # Which of the lost units was needed is not known; frames before the first were never suspected.
                of_gop = []
                self._slots = [_Slot(slot.hint, False) for slot in self._slots]
        return found + of_gop

    def _take(self, headers: list[FrameHeader], *, is_lost: bool) -> bool:
        """Go on over this unit; true if the frame that it shows hangs on no lost one."""
        place = self._place_shown(headers)
        ahead = (place - self._last) % self.num_places
        if is_lost and ahead != 1:
            headers = []  # the header is damaged too
        if not headers:
            self._lose((self._last + 1) % self.num_places)
            return False
        is_key = any(header.is_key and header.is_shown for header in headers)
        if not is_key:
            if not 0 < ahead < self.num_places // 2:
                raise _Inconsistent
            for _ in range(1, ahead):
                self._lose((self._last + 1) % self.num_places)
        self._last = place
        is_shown_sound = False
        for header in headers:
            is_sound = all(slot.is_sound for number, slot in enumerate(self._slots) if header.needs >> number & 1)
            is_shown_sound = is_sound if header.is_shown else is_shown_sound
            for number in range(NUM_SLOTS):
                if header.fills >> number & 1:
                    self._slots[number] = _Slot(header.hint, is_sound and not is_lost)
        return is_shown_sound

    def _place_shown(self, headers: list[FrameHeader]) -> int:
        """The place of the frame that a unit shows; that of the last one without any."""
        held = {number: slot.hint for number, slot in enumerate(self._slots)}
        shown = self._last
        for header in headers:
            shown = (
                held[header.shows_slot] if header.shows_slot is not None else header.hint if header.is_shown else shown
            )
            held |= {number: header.hint for number in range(NUM_SLOTS) if header.fills >> number & 1}
        return shown

    def _lose(self, place: int) -> None:
        """Go on over a unit of which nothing is known, but that it showed the frame at this place."""
        self._last = place
        if not self.may_be_unneeded and all(slot.hint != place for slot in self._slots):
            self._slots = [_Slot(slot.hint, False) for slot in self._slots]
