"""Why workers end, and what that means for the task they held."""

import re
from dataclasses import dataclass

from ray.exceptions import (
    NodeDiedError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from stages.errors import Reason
from stages.failures import failure_of
from stages.tasks import Failed

EVICTIONS_PER_DEATH = 2
"""Deaths that may be another's fault are allowed so many times more often."""

_ADVICE = {
    Reason.STALLED: "Raise executor.stall_timeout_s if it needs longer between two signs of progress.",
    Reason.OUT_OF_MEMORY: "Raise executor.worker_memory_gb, or run fewer workers, if it needs that much.",
    Reason.WORKER_DIED: "The next run tries it again.",
}


@dataclass(frozen=True, slots=True)
class Death:
    """Why a worker ended.

    Attributes:
        reason: the word for the row.
        text: what happened, equal for equal causes.
        is_eviction: it may well have been another's fault (Ray's memory monitor picks one of several, a machine is
            lost), so that it must not condemn a task as fast as a death of its own.
    """

    reason: Reason
    text: str
    is_eviction: bool = False


def death_of(error: RayError, last_words: str) -> Death | None:
    """What an error says of the worker that it comes from; None where the worker lives."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        # What the task took is not given back by an allocator, and the next task would find the process full.
        return Death(Reason.OUT_OF_MEMORY, _text(cause)) if isinstance(cause, MemoryError) else None
    if isinstance(error, OutOfMemoryError):
        return Death(Reason.OUT_OF_MEMORY, "Ray's memory monitor ended its worker", is_eviction=True)
    if isinstance(error, NodeDiedError) or "node has died" in str(error):
        return Death(Reason.WORKER_DIED, "its machine was lost", is_eviction=True)
    if isinstance(error, RayActorError | WorkerCrashedError):
        code = re.search(r"exits with an exit code (\d+)", str(error))
        return Death(Reason.WORKER_DIED, f"its process ended with exit code {code[1]}" if code else last_words)
    return None


def is_condemned(deaths: list[Death], max_deaths: int) -> bool:
    """Whether a task that ended these workers, alone each time, is not to be tried again."""
    evictions = sum(death.is_eviction for death in deaths)
    return len(deaths) - evictions >= max_deaths or evictions >= EVICTIONS_PER_DEATH * max_deaths


def is_last_chance(deaths: list[Death], max_deaths: int) -> bool:
    """Whether the next eviction condemns a task, so that it must be tried while nothing else runs."""
    return sum(death.is_eviction for death in deaths) >= EVICTIONS_PER_DEATH * max_deaths - 1


def verdict(deaths: list[Death]) -> Failed:
    """The fate of a condemned task, in words that do not depend on process or time."""
    times = {text: [death.text for death in deaths].count(text) for text in (death.text for death in deaths)}
    told = "; ".join(f"{count} times {text}" if count > 1 else f"once {text}" for text, count in times.items())
    reason = deaths[-1].reason
    lost = f"PoolError: {len(deaths)} workers were lost while they held only this task"
    return Failed(reason, f"{lost}: {told}. {_ADVICE[reason]}")


def fate_of(error: RayError) -> Failed:
    """The fate of a task whose worker lives, but could not take it or hand its result over."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return failure_of(error.cause)
    if isinstance(error, ObjectStoreFullError | OutOfDiskError):
        return Failed(Reason.STORAGE, _text(error))
    return Failed(Reason.WORKER_DIED, _text(error))


def cause_text(error: RayError) -> str:
    """Class and message of what was raised in the worker, without Ray's wrapping."""
    return _text(error.cause if isinstance(error, RayTaskError) and error.cause else error)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
