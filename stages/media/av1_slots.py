"""Follows AV1's reference slots from unit to unit, past lost ones, to tell which frames hang on none of these.

A unit that is lost may have filled slots. Where an encoder shows each frame that it codes ahead once, later, by its
slot, and fills one slot with it, the units that show frames tell which: those whose slot holds another frame than it
should. So a GOP is gone through again with what was learnt, until all slots hold what they should:

    unit       K0  (8 4 2)1  show 2  3  show 4 ...
    lost           x                                 what it filled is not known
    slots          4 of 2    holds K0 where 2 is due: the lost unit filled it, and what needs it hangs on the loss
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from stages.media.av1_headers import NUM_SLOTS
from stages.media.av1_units import Unit

MIN_SHOWN_LATER = 8
"""Least number of frames that were coded ahead, all shown once, from which on this holds for those of lost units."""
MAX_ROUNDS = 64
"""So often a GOP is gone through."""


class _Slot(NamedTuple):
    """What a slot holds.

    Attributes:
        hint: the place of its frame in presentation order.
        is_sound: the frame hangs on no lost one.
        num_lost: units of the GOP that were lost before it was filled, or last shown.
    """

    hint: int
    is_sound: bool
    num_lost: int


class _Inconsistent(Exception):
    """A slot does not hold what it should: a unit was lost that others need."""

    def __init__(self, slot: int | None) -> None:
        super().__init__()
        self.slot = slot


class _Again(Exception):
    """Something was learnt of the lost units."""


def shows_each_once(units: list[Unit]) -> bool:
    """True if frames that are coded ahead fill one slot each, and are shown by it before it is filled again.

    Where units are lost in between, nothing is told.
    """
    waiting: dict[int, int] = {}
    num_lost = num_shown = 0
    for unit in units:
        num_lost += unit.is_lost or not unit.is_whole or unit.missing_before > 0
        for header in unit.headers:
            if header.shows_slot is not None:
                num_shown += waiting.pop(header.shows_slot, None) is not None
                continue
            is_ahead = not header.is_shown
            if not unit.is_lost and is_ahead and (header.fills.bit_count() != 1 or header.is_key):
                return False
            for slot in range(NUM_SLOTS):
                if header.fills >> slot & 1:
                    if waiting.pop(slot, None) == num_lost:
                        return False
                    if is_ahead:
                        waiting[slot] = num_lost
    return num_shown >= MIN_SHOWN_LATER


@dataclass
class SlotWalk:
    """Goes through the units of a stream.

    Attributes:
        num_places: places in presentation order before they begin again.
        may_be_unneeded: nothing hangs on a frame that is coded in the unit that shows it.
        shows_each_once: see the function of this name.
    """

    num_places: int
    may_be_unneeded: bool
    shows_each_once: bool
    _slots: list[_Slot] = field(default_factory=lambda: [_Slot(0, False, 0)] * NUM_SLOTS)
    _last: int = 0
    _num_lost: int = 0
    _learnt: dict[int, dict[int, int]] = field(default_factory=dict)
    _learnt_gaps: set[int] = field(default_factory=set)

    def sound(self, units: list[Unit]) -> list[int]:
        """Numbers of the units whose frames hang on no lost one."""
        found: list[int] = []
        of_gop: list[tuple[int, Unit]] = []
        for number, unit in enumerate(units):
            if unit.is_key and of_gop:
                found += self._through_gop(of_gop)
                of_gop = []
            of_gop.append((number, unit))
        return found + self._through_gop(of_gop)

    def _through_gop(self, gop: list[tuple[int, Unit]]) -> list[int]:
        slots, last = self._slots, self._last
        self._learnt, self._learnt_gaps = {}, set()
        for left in range(MAX_ROUNDS, 0, -1):
            self._slots = [_Slot(slot.hint, slot.is_sound, 0) for slot in slots]
            self._last, self._num_lost = last, 0
            try:
                return self._round(gop, may_learn=self.shows_each_once and left > 1)
            except _Again:
                continue
        return []

    def _round(self, gop: list[tuple[int, Unit]], *, may_learn: bool) -> list[int]:
        """Numbers of the units of a GOP whose frames hang on no lost one.

        Raises:
            _Again: the slots that lost units have filled are other ones than was known.
        """
        found: list[int] = []
        for number, unit in gop:
            try:
                if self._take(number, unit) and not unit.is_lost:
                    found.append(number)
            except _Inconsistent as fault:
                if may_learn and self._learn(number, unit, fault.slot):
                    raise _Again from fault
                # Which of the lost units was needed is not known; frames before the first were never suspected.
                found = []
                self._slots = [slot._replace(is_sound=False) for slot in self._slots]
        return found

    def _learn(self, number: int, unit: Unit, slot: int | None) -> bool:
        """Learn that units lack before this one, else that the first one lost since a slot was right has filled it."""
        if unit.missing_before and number not in self._learnt_gaps:
            self._learnt_gaps.add(number)
            return True
        if slot is None or self._slots[slot].num_lost >= self._num_lost:
            return False
        fills = self._learnt.setdefault(self._slots[slot].num_lost, {})
        is_new = slot not in fills
        fills[slot] = self._next_place()
        return is_new

    def _next_place(self) -> int:
        return (self._last + 1) % self.num_places

    def _take(self, number: int, unit: Unit) -> bool:
        """Go on over this unit; true if the frame that it shows hangs on no lost one."""
        missing = unit.missing_before
        if unit.is_lost or number in self._learnt_gaps:
            for _ in range(missing):
                self._lose(self._next_place())
            missing = 0
        place = self._place_shown(unit)
        ahead = (place - self._last) % self.num_places
        if not unit.is_whole or (unit.is_lost and ahead != 1):
            # The header of what it shows cannot be read, or is damaged too.
            self._fill(unit, unit.num_decoded)
            self._lose(self._next_place())
            return False
        if not unit.is_key:
            slot = unit.headers[-1].shows_slot
            if not 0 < ahead < self.num_places // 2 or (slot is not None and ahead != missing + 1):
                raise _Inconsistent(slot)
            for _ in range(1, ahead):
                self._lose(self._next_place())
        self._last = place
        is_shown_sound = self._fill(unit, len(unit.headers))
        if unit.is_lost:
            self._fill_as_learnt()
        return is_shown_sound

    def _fill(self, unit: Unit, count: int) -> bool:
        """Fill slots with the first frames of a unit; true if the one that is shown hangs on no lost one."""
        is_shown_sound = False
        for index, header in enumerate(unit.headers[:count]):
            is_sound = all(slot.is_sound for number, slot in enumerate(self._slots) if header.needs >> number & 1)
            is_shown_sound = is_sound if header.is_shown else is_shown_sound
            if header.shows_slot is not None:  # no lost unit has filled it until now
                self._slots[header.shows_slot] = self._slots[header.shows_slot]._replace(num_lost=self._num_lost)
            is_sound = is_sound and (not unit.is_lost or index < unit.num_decoded)
            for number in range(NUM_SLOTS):
                if header.fills >> number & 1:
                    self._slots[number] = _Slot(header.hint, is_sound, self._num_lost)
        return is_shown_sound

    def _place_shown(self, unit: Unit) -> int:
        """The place of the frame that a unit shows; that of the last one without any."""
        held = {number: slot.hint for number, slot in enumerate(self._slots)}
        shown = self._last
        for header in unit.headers:
            if header.shows_slot is not None:
                shown = held[header.shows_slot]
            elif header.is_shown:
                shown = header.hint
            held |= {number: header.hint for number in range(NUM_SLOTS) if header.fills >> number & 1}
        return shown

    def _lose(self, place: int) -> None:
        """Go on over a unit of which nothing is known, but that it showed the frame at this place."""
        self._last = place
        is_needed = not self.may_be_unneeded and all(slot.hint != place for slot in self._slots)
        if is_needed:
            self._slots = [slot._replace(is_sound=False) for slot in self._slots]
        self._fill_as_learnt()

    def _fill_as_learnt(self) -> None:
        """Fill the slots that this lost unit has filled, as later ones tell."""
        for slot, place in self._learnt.get(self._num_lost, {}).items():
            self._slots[slot] = _Slot(place, False, self._num_lost)
        self._num_lost += 1
