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
"""Evictions allowed for each death that is allowed, since another process may have caused them."""

_ADVICE = {
    Reason.STALLED: "Raise executor.stall_timeout_s if it needs longer between two signs of progress.",
    Reason.OUT_OF_MEMORY: "Raise executor.worker_memory_gb, or run fewer workers, if it needs that much.",
    Reason.WORKER_DIED: "The next run tries it again.",
}


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why a worker ended.

    Attributes:
        row_reason: the reason that the row shows if the task fails for this.
        text: what happened; equal causes have equal texts.
        is_eviction: another process may have caused it: Ray's memory monitor picks one worker of several, or the
            machine was lost. Counts less against the task than a death that the task caused itself.
    """

    row_reason: Reason
    text: str
    is_eviction: bool = False


def exit_reason_of(error: RayError, crash_text: str) -> ExitReason | None:
    """Why the worker that raised an error ended; None if it still lives."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        # The allocator does not give back what the task took, and the next task would find the process full.
        return ExitReason(Reason.OUT_OF_MEMORY, _error_text(cause)) if isinstance(cause, MemoryError) else None
    if isinstance(error, OutOfMemoryError):
        return ExitReason(Reason.OUT_OF_MEMORY, "Ray's memory monitor ended its worker", is_eviction=True)
    if isinstance(error, NodeDiedError) or "node has died" in str(error):
        return ExitReason(Reason.WORKER_DIED, "its machine was lost", is_eviction=True)
    if isinstance(error, RayActorError | WorkerCrashedError):
        code = re.search(r"exits with an exit code (\d+)", str(error))
        return ExitReason(Reason.WORKER_DIED, f"its process ended with exit code {code[1]}" if code else crash_text)
    return None


def is_death_limit_reached(exit_reasons: list[ExitReason], max_deaths: int) -> bool:
    """Whether a task fails for good after these deaths of workers that held it alone."""
    evictions = sum(exit_reason.is_eviction for exit_reason in exit_reasons)
    return len(exit_reasons) - evictions >= max_deaths or evictions >= EVICTIONS_PER_DEATH * max_deaths


def needs_quarantine(exit_reasons: list[ExitReason], max_deaths: int) -> bool:
    """Whether one more eviction reaches the limit, so that the task may only run while no other does."""
    return sum(exit_reason.is_eviction for exit_reason in exit_reasons) >= EVICTIONS_PER_DEATH * max_deaths - 1


def failure_after_deaths(exit_reasons: list[ExitReason]) -> Failed:
    """The outcome of a task that reached the limit; its text does not depend on process or time."""
    times = {
        text: [exit_reason.text for exit_reason in exit_reasons].count(text)
        for text in (exit_reason.text for exit_reason in exit_reasons)
    }
    causes = "; ".join(f"{count} times {text}" if count > 1 else f"once {text}" for text, count in times.items())
    row_reason = exit_reasons[-1].row_reason
    summary = f"PoolError: {len(exit_reasons)} workers were lost while they held only this task"
    return Failed(row_reason, f"{summary}: {causes}. {_ADVICE[row_reason]}")


def failure_of_ray_error(error: RayError) -> Failed:
    """The outcome of a task whose worker lives, but could not receive the task or return its result."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return failure_of(error.cause)
    if isinstance(error, ObjectStoreFullError | OutOfDiskError):
        return Failed(Reason.STORAGE, _error_text(error))
    return Failed(Reason.WORKER_DIED, _error_text(error))


def cause_text(error: RayError) -> str:
    """Class and message of the exception raised in the worker, without Ray's wrapping."""
    return _error_text(error.cause if isinstance(error, RayTaskError) and error.cause else error)


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
