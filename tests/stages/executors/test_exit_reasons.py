"""What errors of a worker mean: which deaths there are, and when a task is condemned for them."""

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
)

from stages.errors import Reason, StageError
from stages.executors.exit_reasons import Death, death_of, fate_of, is_condemned, is_last_chance, verdict

CRASH = Death(Reason.WORKER_DIED, "its process crashed")
EVICTION = Death(Reason.OUT_OF_MEMORY, "Ray's memory monitor ended its worker", is_eviction=True)


def raised(cause: Exception) -> RayTaskError:
    """An error as Ray hands it on from a worker."""
    return RayTaskError("process", "traceback", cause)


@pytest.mark.parametrize(
    ("error", "death"),
    [
        (ActorDiedError(), Death(Reason.WORKER_DIED, "last words")),
        (ActorUnavailableError("gone", b"0" * 16), Death(Reason.WORKER_DIED, "last words")),
        (OutOfMemoryError("threshold"), EVICTION),
        (raised(MemoryError("1 TiB")), Death(Reason.OUT_OF_MEMORY, "MemoryError: 1 TiB")),
        (raised(ValueError("no")), None),
        (ObjectLostError("ab" * 14, None, ""), None),
    ],
)
def test_death_of_tells_workers_that_died_from_those_that_live(error: RayError, death: Death | None) -> None:
    assert death_of(error, "last words") == death


@pytest.mark.parametrize(
    ("deaths", "condemned", "last_chance"),
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
def test_evictions_condemn_a_task_later_than_its_own_deaths(
    deaths: list[Death], condemned: bool, last_chance: bool
) -> None:
    assert is_condemned(deaths, 3) == condemned
    assert is_last_chance(deaths, 3) == last_chance


def test_verdict_says_what_happened_each_time() -> None:
    fate = verdict([CRASH, Death(Reason.STALLED, "it made no progress for 2 s"), CRASH])
    assert fate.reason is Reason.WORKER_DIED
    assert "3 workers were lost" in fate.error
    assert "2 times its process crashed; once it made no progress for 2 s" in fate.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (raised(StageError("no", Reason.SERVICE)), Reason.SERVICE),
        (raised(TypeError("cannot pickle")), Reason.STAGE_ERROR),
        (OutOfDiskError("full"), Reason.STORAGE),
        (ObjectLostError("ab" * 14, None, ""), Reason.WORKER_DIED),
    ],
)
def test_fate_of_keeps_passing_faults_passing(error: RayError, reason: Reason) -> None:
    assert fate_of(error).reason is reason
