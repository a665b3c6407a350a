"""Keeps SVT-AV1 from giving itself the highest real-time priority, which it does in every process of root.

With it the thread that opens the encoder, and all that it starts from then on (other encoders, child processes), run
before everything else on the machine: a worker in a container held one core for itself alone, and its neighbours stood
still. The encoder looks once a process whether it may; here it may not.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522
_CAP_SYS_NICE = 1 << 23
_Words = ctypes.c_uint32 * 2
_Sets = ctypes.c_uint32 * 6


@contextmanager
def no_realtime_priority() -> Iterator[None]:
    """Let the calling thread, and those that it starts in the block, ask for no real-time priority.

    Takes the capability CAP_SYS_NICE out of the effective set of the thread, and puts it back (capset(2)). Elsewhere
    than on Linux, and in a process that lacks it, there is nothing to do.
    """
    sets = _capabilities() if sys.platform == "linux" else None
    if sets is None or not sets[0] & _CAP_SYS_NICE:
        yield
        return
    _set(sets, sets[0] & ~_CAP_SYS_NICE)
    try:
        yield
    finally:
        _set(sets, sets[0])


def _capabilities() -> list[int] | None:
    """Effective, permitted and inheritable capabilities of the thread, the low word, then the high word of each."""
    sets = _Sets()
    if ctypes.CDLL(None, use_errno=True).capget(_Words(_VERSION_3, 0), sets):
        return None
    return list(sets)


def _set(sets: list[int], effective: int) -> None:
    """Set the capabilities of the thread, with another low word of the effective ones; fewer are always allowed.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(_Words(_VERSION_3, 0), _Sets(effective, *sets[1:])):
        raise OSError(ctypes.get_errno(), "capset")
