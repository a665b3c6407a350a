"""How often, and after which wait, something is tried again whose failure may pass."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stages import heartbeat

_SLICE_S = 1.0
"""A wait beats so often."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits: the first, twice as long with each further try, never above a ceiling.

    Attributes:
        tries: how often something is tried in all, at least 1.
        first_s: seconds before the second try.
        ceiling_s: longest wait.
    """

    tries: int = 6
    first_s: float = 1.0
    ceiling_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, counted from 1."""
        return min(self.first_s * 2.0 ** (failures - 1), self.ceiling_s)

    def waits(self) -> Iterator[float]:
        """The waits between the tries, one fewer than there are tries."""
        return (self.wait_s(failures) for failures in range(1, self.tries))


A_LOOK = Backoff(2, 1.0, 1.0)
"""Of what is done again soon and has a minute: a store that is away is asked again the next time."""

_current = Backoff()


def current() -> Backoff:
    """What holds for operations on stores in this process, in whichever thread."""
    return _current


def use(backoff: Backoff) -> None:
    """Let this hold from now on: in a worker, for its life."""
    global _current
    _current = backoff


@contextmanager
def using(backoff: Backoff) -> Iterator[None]:
    """Let this hold inside the block: in the driver, which may run with other parameters next."""
    before = _current
    use(backoff)
    try:
        yield
    finally:
        use(before)


def pause(seconds: float) -> None:
    """Wait, and beat meanwhile: who waits for a store does not hang."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        heartbeat.beat()
        time.sleep(min(left, _SLICE_S))
