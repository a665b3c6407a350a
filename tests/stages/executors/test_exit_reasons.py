"""Errors of a worker: which mean that it died, and after which deaths its task fails."""

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
)

from stages.errors import DeviceLost, Reason, StageError
from stages.executors.exit_reasons import (
    ExitReason,
    exit_reason_of,
    failure_after_deaths,
    failure_of_ray_error,
    is_death_limit_reached,
    needs_quarantine,
)

CRASH = ExitReason(Reason.WORKER_DIED, "its process crashed")
EVICTION = ExitReason(Reason.OUT_OF_MEMORY, "Ray's memory monitor ended its worker", is_eviction=True)


def ray_task_error(cause: Exception) -> RayTaskError:
    """An error as Ray hands it on from a worker."""
    return RayTaskError("process", "traceback", cause)


@pytest.mark.parametrize(
    ("error", "exit_reason"),
    [
        (ActorDiedError(), ExitReason(Reason.WORKER_DIED, "crash text")),
        (ActorUnavailableError("gone", b"0" * 16), ExitReason(Reason.WORKER_DIED, "crash text")),
        (OutOfMemoryError("threshold"), EVICTION),
        (ray_task_error(MemoryError("1 TiB")), ExitReason(Reason.OUT_OF_MEMORY, "MemoryError: 1 TiB")),
        (ray_task_error(ValueError("no")), None),
        (
            ray_task_error(DeviceLost("The GPU is gone")),
            ExitReason(Reason.WORKER_DIED, "The GPU is gone", is_device_lost=True),
        ),
        (ObjectLostError("ab" * 14, None, ""), None),
    ],
)
def test_exit_reason_of_tells_dead_workers_from_living_ones(error: RayError, exit_reason: ExitReason | None) -> None:
    assert exit_reason_of(error, "crash text") == exit_reason


@pytest.mark.parametrize(
    ("exit_reasons", "is_reached", "is_next"),
    [
        ([], False, False),
        ([CRASH] * 2, False, False),
        ([CRASH] * 3, True, False),
        ([EVICTION] * 3, False, False),
        ([EVICTION] * 5, False, True),
        ([EVICTION] * 6, True, True),
        ([EVICTION] * 5 + [CRASH] * 2, False, True),
    ],
)
def test_evictions_reach_the_limit_later_than_other_deaths(
    exit_reasons: list[ExitReason], is_reached: bool, is_next: bool
) -> None:
    assert is_death_limit_reached(exit_reasons, 3) == is_reached
    assert needs_quarantine(exit_reasons, 3) == is_next


def test_failure_after_deaths_says_what_happened_each_time() -> None:
    outcome = failure_after_deaths([CRASH, ExitReason(Reason.STALLED, "it made no progress for 2 s"), CRASH])
    assert outcome.reason is Reason.WORKER_DIED
    assert "3 workers were lost" in outcome.error
    assert "2 times its process crashed; once it made no progress for 2 s" in outcome.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ray_task_error(StageError("no", Reason.SERVICE)), Reason.SERVICE),
        (ray_task_error(TypeError("cannot pickle")), Reason.STAGE_ERROR),
        (OutOfDiskError("full"), Reason.STORAGE),
        (ObjectLostError("ab" * 14, None, ""), Reason.WORKER_DIED),
    ],
)
def test_failure_of_ray_error_keeps_transient_reasons(error: RayError, reason: Reason) -> None:
    assert failure_of_ray_error(error).reason is reason


def test_lost_machine_is_told_from_a_worker_that_the_memory_monitor_ended() -> None:
    """A set-up that takes all memory each time must count as failed, or it would be tried without end."""
    assert not EVICTION.is_machine_lost
    lost = exit_reason_of(NodeDiedError("gone"), "crash text")
    assert lost is not None
    assert lost.is_machine_lost
