"""The reasons why workers end, and their consequences for the task that a worker held."""

import re
from dataclasses import dataclass

from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from stages.errors import DeviceLost, Reason
from stages.failures import failure_of
from stages.tasks import Failed

EVICTIONS_PER_DEATH = 2
"""Number of evictions allowed per allowed death, since another process may have caused an eviction."""

_ADVICE = {
    Reason.STALLED: "Raise executor.stall_timeout_s if it needs longer between two signs of progress.",
    Reason.OUT_OF_MEMORY: "Raise executor.worker_memory_gb, or run fewer workers, if it needs that much.",
    Reason.WORKER_DIED: "The next run tries it again.",
}


@dataclass(frozen=True, slots=True)
class ExitReason:
    """The reason why a worker ended.

    Attributes:
        row_reason: reason of the row if the task fails because of this death.
        text: description of the cause; equal causes have equal texts.
        is_eviction: true if another process may have caused the death: Ray's memory monitor picks one of several
            workers, or the machine was lost. An eviction counts less against the task than a death that it caused.
        is_device_lost: true if the GPU of the worker answers no more, for which the task or the machine is to blame.
    """

    row_reason: Reason
    text: str
    is_eviction: bool = False
    is_device_lost: bool = False

    @property
    def is_machine_lost(self) -> bool:
        """True if the worker's machine is gone, which says nothing of what the worker did."""
        return self.is_eviction and self.row_reason is Reason.WORKER_DIED


def is_object_lost(error: RayError) -> bool:
    """True if an object that a call reads or returns is gone with the machine that held it.

    The object is not made again by Ray, since actors are not restarted; the tasks of the call start from their root.
    """
    return isinstance(_cause(error), ObjectLostError)


def is_machine_fault(error: RayError) -> bool:
    """True if Ray could not carry a batch to a worker or its results back, whatever the tasks are.

    Its object store or a disk is full, or Ray itself erred. The worker is alive, and the tasks are tried again.
    """
    return isinstance(_cause(error), ObjectStoreFullError | OutOfDiskError | RaySystemError)


def _cause(error: RayError) -> BaseException:
    return error.cause if isinstance(error, RayTaskError) and error.cause else error


def exit_reason_of(error: RayError, crash_text: str) -> ExitReason | None:
    """The exit reason of the worker whose call raised this error; None if the worker is still alive."""
    if is_object_lost(error):
        return None  # the machine that is lost may be another; if it is that of the worker, its next call tells
    if isinstance(error, RayTaskError):
        cause = error.cause
        if isinstance(cause, DeviceLost):
            return ExitReason(Reason.WORKER_DIED, str(cause), is_device_lost=True)
        # The allocator does not return the task's memory to the system, so the next task would run out of memory too.
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
    """True if a task fails permanently after these deaths of workers that held it alone."""
    evictions = sum(exit_reason.is_eviction for exit_reason in exit_reasons)
    return len(exit_reasons) - evictions >= max_deaths or evictions >= EVICTIONS_PER_DEATH * max_deaths


def needs_quarantine(exit_reasons: list[ExitReason], max_deaths: int) -> bool:
    """True if one more eviction would reach the limit, so that the task may only run while no other task does."""
    return sum(exit_reason.is_eviction for exit_reason in exit_reasons) >= EVICTIONS_PER_DEATH * max_deaths - 1


def failure_after_deaths(exit_reasons: list[ExitReason]) -> Failed:
    """The outcome of a task that reached the limit of deaths; its text does not depend on process or time."""
    times = {
        text: [exit_reason.text for exit_reason in exit_reasons].count(text)
        for text in (exit_reason.text for exit_reason in exit_reasons)
    }
    causes = "; ".join(f"{count} times {text}" if count > 1 else f"once {text}" for text, count in times.items())
    row_reason = exit_reasons[-1].row_reason
    summary = f"PoolError: {len(exit_reasons)} workers were lost while they held only this task"
    return Failed(row_reason, f"{summary}: {causes}. {_ADVICE[row_reason]}")


def failure_of_ray_error(error: RayError) -> Failed:
    """The outcome of a task whose worker is alive, but could not receive the task or return its result.

    A fault of a machine never becomes a lasting failure of the task: the next run tries it again.
    """
    if is_machine_fault(error):
        return Failed(Reason.STORAGE, cause_text(error))
    if is_object_lost(error):
        return Failed(Reason.WORKER_DIED, cause_text(error))
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return failure_of(error.cause)
    return Failed(Reason.WORKER_DIED, _error_text(error))


def cause_text(error: RayError) -> str:
    """Class and message of the exception raised in the worker, without Ray's wrapping."""
    return _error_text(_cause(error))


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
