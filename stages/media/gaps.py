"""Which times of a constant rate are missing. Arithmetic on arrays.

times      0 1 2 5 6 7 | 9 10.5 11.5 | 13 13 14      a step of 1.5 is a frame that came late; 13 stands twice
missing    0 0 2 0 0 1 | 0 0    0    | 0  0
"""

import numpy as np
from numpy.typing import NDArray

NO_PTS = -(1 << 63)
"""Stands for a time that is not known."""
STEADY_TOLERANCE = 0.1
"""A step between times is steady if it differs by at most this share, or one unit, from the median step."""
STEADY_SHARE = 0.9
"""Share of steady steps from which on a stream has a constant rate. In others a long step tells nothing."""
MIN_STEPS = 8
"""With fewer steps the rate is not known."""
ROOM_TOLERANCE = 0.25
"""A frame is missing where a step has room for one more, less this share of a frame's length. A step of 1.5 is a frame
that came late."""
NEAR_STEPS = 16
"""A gap is made up for by a time that stands twice, so many steps from it: times are wrong, and no frame is missing."""
MAX_PROMISED_GAPS = 6
PROMISE_TOLERANCE = 0.02
"""Of a short stream, a few gaps are more than a tenth of the steps. They count where the header promises as many frames
as there are and would fill them, within this share or one. At a variable rate it promises no more than there are."""

Ints = NDArray[np.int64]


def gaps(times: Ints, *, is_first_moved: bool = False, num_promised: int | None = None) -> Ints:
    """How many times of a constant rate are missing after each; zeros where the rate varies.

    Args:
        times: int64 ``[N]``, rising or repeated, in any unit.
        is_first_moved: the first one may be earlier than it was.
        num_promised: how many there are by the header; None where it does not say.
    """
    missing = np.zeros(len(times), np.int64)
    steps = np.diff(times)
    if len(steps) < MIN_STEPS or (times == NO_PTS).any():
        return missing
    step = float(np.median(steps))
    steady = np.abs(steps - step) <= max(1.0, STEADY_TOLERANCE * step)
    if step <= 0 or not steady.any():
        return missing
    room = np.floor(steps / steps[steady].mean() + ROOM_TOLERANCE).astype(np.int64) - 1
    room = np.where(steady, 0, np.maximum(room, 0))
    if steady.mean() >= STEADY_SHARE or _is_promised(room, num_promised, num_gaps=int((~steady).sum())):
        missing[:-1] = room
        missing[0] *= not is_first_moved
        _make_up(missing, np.flatnonzero(steps < step / 2))
    return missing


def _is_promised(room: Ints, num_promised: int | None, *, num_gaps: int) -> bool:
    """True where a few gaps are no longer than what the times lack of the promised number."""
    if num_promised is None or num_gaps > MAX_PROMISED_GAPS:
        return False
    return len(room) + 1 + int(room.sum()) <= num_promised + max(1, PROMISE_TOLERANCE * num_promised)


def _make_up(missing: Ints, doubled: Ints) -> None:
    """Take from the nearest gap of each time that stands twice one that is missing."""
    for place in doubled:
        near = np.arange(max(0, place - NEAR_STEPS), min(len(missing), place + NEAR_STEPS))
        found = near[missing[near] > 0]
        if len(found):
            missing[found[np.abs(found - place).argmin()]] -= 1
