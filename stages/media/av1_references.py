"""Which frames of a damaged AV1 stream need nothing that is lost, as the headers of its temporal units tell.

Each unit shows one frame. Frames that others need are coded earlier, and shown by a unit that names their slot; those
coded in the unit that shows them mostly fill no slot that others need, and nothing hangs on them:

    unit       K0   16 8 4 2 1   show 2   3   show 4   6 5   show 6 ...       numbers: places in presentation order
    lost                            x     x                                   nothing else is damaged
                         x                    show 4                          a slot holds another frame than it should

Places of shown frames rise by one from unit to unit, so that they tell of units that the file lacks, and of slots that
a lost unit should have filled. Of a unit that the decoder refuses, the frames before the damaged one are decoded once
more by themselves: what they fill is whole.
"""

import numpy as np
from av.container import InputContainer

from stages.media.av1_headers import NUM_SLOTS
from stages.media.av1_slots import SlotWalk, shows_each_once
from stages.media.av1_units import Unit, UnitReader
from stages.media.decode_log import DecodeLog
from stages.media.gaps import Ints

MIN_UNITS = 8
"""Least number of units with one coded frame that tell how the encoder uses them."""
UNNEEDED_SHARE = 0.95
"""Share of them that no other frame needs, from which on a lost one is taken for such a one."""


def frames_without_losses(container: InputContainer, log: DecodeLog) -> Ints:
    """PTS of the frames that hang on no lost one. None where places in presentation order are not told.

    Args:
        container: not yet read from.
        log: of the decode of the same stream.
    """
    reader = UnitReader(container, log)
    units = reader.units()
    if not units or reader.sequence is None or not reader.sequence.hint_bits:
        return np.zeros(0, np.int64)
    walk = SlotWalk(1 << reader.sequence.hint_bits, may_be_unneeded(units), shows_each_once(units))
    return np.array([unit.pts for unit in units], np.int64)[walk.sound(units)]


def may_be_unneeded(units: list[Unit]) -> bool:
    """True if frames that are coded alone, in the unit that shows them, are such that none needs them."""
    filled_by: dict[int, int] = {}
    alone: dict[int, bool] = {}
    for number, unit in enumerate(units):
        if unit.is_lost or not unit.is_whole or unit.missing_before:
            filled_by.clear()  # slots may hold other frames than is read
        for header in unit.headers:
            for slot in range(NUM_SLOTS):
                if header.needs >> slot & 1 and filled_by.get(slot) in alone:
                    alone[filled_by[slot]] = False
                if header.fills >> slot & 1:
                    filled_by[slot] = number
        if unit.is_whole and not unit.is_key and len(unit.headers) == 1 and unit.headers[0].shows_slot is None:
            alone[number] = True
    return len(alone) >= MIN_UNITS and sum(alone.values()) >= UNNEEDED_SHARE * len(alone)
