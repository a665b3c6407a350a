"""Retries after transient failures: number of tries, and exponentially growing waits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stages import heartbeat

_BEAT_INTERVAL_S = 1.0
"""Interval of heartbeats during a wait."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: each wait is twice as long as the one before, up to a ceiling.

    Attributes:
        tries: including the first, at least 1.
        first_s: seconds before the second try.
        ceiling_s: longest wait.
    """

    tries: int = 6
    first_s: float = 1.0
    ceiling_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row, counted from 1."""
        return min(self.first_s * 2.0 ** (failures - 1), self.ceiling_s)

    def waits(self) -> Iterator[float]:
        """The waits between the tries: one fewer than tries."""
        return (self.wait_s(failures) for failures in range(1, self.tries))


SHORT_BACKOFF = Backoff(2, 1.0, 1.0)
"""For a sensor tick, which has a minute and recurs soon: a store that does not answer is asked by the next tick."""

_current = Backoff()


def current() -> Backoff:
    """The backoff of store operations in this process, in all threads."""
    return _current


def use(backoff: Backoff) -> None:
    """Set the current backoff: in a worker, for its lifetime."""
    global _current
    _current = backoff


@contextmanager
def using(backoff: Backoff) -> Iterator[None]:
    """Set the current backoff inside the block: in the driver, whose next run may have other parameters."""
    before = _current
    use(backoff)
    try:
        yield
    finally:
        use(before)


def sleep_with_heartbeats(seconds: float) -> None:
    """Sleep, and send heartbeats meanwhile: a worker that waits for a store does not hang."""
    end = time.monotonic() + seconds
    while (remaining_s := end - time.monotonic()) > 0:
        heartbeat.beat()
        time.sleep(min(remaining_s, _BEAT_INTERVAL_S))
