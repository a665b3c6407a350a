"""How long a store takes to answer, call by call, until somebody takes the figures to publish them."""

from collections import deque
from typing import NamedTuple

_MAX_CALLS = 10_000
"""Older ones are forgotten where nobody takes them."""


class CallTime(NamedTuple):
    """One try of a call to a store.

    Attributes:
        operation: what it does: reading, writing, creating, listing, ...
        outcome: ``ok``, or ``failed`` where the try had no good answer.
        seconds: until the answer.
    """

    operation: str
    outcome: str
    seconds: float


_calls: deque[CallTime] = deque(maxlen=_MAX_CALLS)


def record_call(operation: str, outcome: str, seconds: float) -> None:
    """Note one try. Safe from any thread.

    Args:
        operation: its first word counts: "writing manifests/..."
        outcome: see `CallTime`.
        seconds: until the answer.
    """
    _calls.append(CallTime(operation.partition(" ")[0], outcome, seconds))


def take_call_times() -> list[CallTime]:
    """The tries in this process since the last call of this."""
    taken: list[CallTime] = []
    while _calls:
        taken.append(_calls.popleft())
    return taken
