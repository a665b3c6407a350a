"""What is tried again, how often, and when.

1. A task whose failure may pass is tried again in the same run, alone, after waits that double, `max_tries` times.
2. Which failures those are is a parameter; one that is none of them is tried once.
3. While tasks wait for another try, others go on.
4. A task is tried again whole where what fails is not its stage: to make rows of one of its children, or to hand them
   over.
"""

import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stages.errors import Reason
from stages.executors.local import LocalExecutor
from stages.params import ExecutorParams, ReadParams
from stages.tasks import Failed, Row
from tests.faults.faulty_stages import FaultyStage, Step, collect, executor, is_first, make_tasks, run

FAILED = {"offline-1": Reason.STORAGE, "corrupt-2": Reason.CORRUPT_STREAM}


@pytest.mark.system
@pytest.mark.usefixtures("ray_cluster")
def test_pool_tries_passing_failures_again_after_growing_waits(tmp_path: Path) -> None:
    tasks = make_tasks("offline-1", "corrupt-2", "offline-3-once", *map(str, range(4, 24)))
    with executor(max_tries=4, backoff_s=0.4) as pool:
        result = run(pool, [FaultyStage(markers=tmp_path), Step("after", seconds=0.02)], tasks)
    outcomes = {name: each for name, (each,) in result.outcomes.items()}
    assert {name: each.reason for name, each in outcomes.items() if isinstance(each, Failed)} == FAILED
    assert outcomes["offline-3-once"] == [{"id": "offline-3-once", "path": "faulty0after0"}]
    stats = result.stats.stage("faulty")
    assert (stats.retries, stats.tasks) == (3 + 1, len(tasks) + 3 + 1)
    assert result.stats.seconds > 0.4 + 0.8 + 1.6
    assert stats.idle_s > 0.8, "the last try of the first task was waited for"
    assert list(result.outcomes).index("corrupt-2") < list(result.outcomes).index("offline-1"), "others went on"


@dataclass(frozen=True)
class RaiseTransient:
    """Raises a transient error: once, for which it creates a file in the folder `markers`, or each time."""

    markers: Path
    is_once: bool

    def __call__(self) -> None:
        if is_first(self.markers / "raised") or not self.is_once:
            raise OSError(errno.EIO, "no answer")


STORAGE_FAILURE = (Reason.STORAGE, f"OSError: [Errno {errno.EIO}] no answer")


@dataclass(frozen=True)
class FailingCollect:
    """Fails for the last of three children."""

    fail: RaiseTransient

    def __call__(self, task: Any) -> list[Row]:
        if task.path == "a2":
            self.fail()
        return collect(task)


@dataclass(frozen=True)
class UnpicklableValue:
    """Fails when it is pickled."""

    fail: RaiseTransient

    def __reduce__(self) -> tuple[type, tuple[RaiseTransient]]:
        self.fail()
        return UnpicklableValue, (self.fail,)


@dataclass(frozen=True)
class UnpicklableCollect:
    """Makes a row that fails when it is pickled."""

    fail: RaiseTransient

    def __call__(self, task: Any) -> list[Row]:
        return [{"id": task.task_id, "path": UnpicklableValue(self.fail)}]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("is_once", "retries"), [(True, 1), (False, 2)])
def test_child_whose_rows_cannot_be_made_is_tried_again_with_its_task(
    is_once: bool, retries: int, tmp_path: Path
) -> None:
    fail = RaiseTransient(tmp_path, is_once)
    with executor(num_workers=1, max_tries=3, backoff_s=0) as pool:
        result = run(pool, [Step("a", fan_out=3)], make_tasks("1"), collect=FailingCollect(fail))
    kept = [[{"id": "1", "path": f"a{index}"}] for index in range(3)]
    assert list(map(rows_or_failure, result.outcomes["1"])) == (kept if is_once else [*kept[:2], STORAGE_FAILURE])
    assert result.stats.stage("a").retries == retries


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("is_once", "retries"), [(True, 1), (False, 2)])
def test_rows_that_cannot_be_handed_over_are_made_again(is_once: bool, retries: int, tmp_path: Path) -> None:
    fail = RaiseTransient(tmp_path, is_once)
    with executor(num_workers=1, max_tries=3, backoff_s=0) as pool:
        result = run(pool, [Step("a")], make_tasks("1"), collect=UnpicklableCollect(fail))
    kept = [{"id": "1", "path": UnpicklableValue(fail)}]
    assert list(map(rows_or_failure, result.outcomes["1"])) == [kept if is_once else STORAGE_FAILURE]
    assert result.stats.stage("a").retries == retries


def rows_or_failure(outcome: object) -> object:
    """The rows, or why there are none."""
    return (outcome.reason, outcome.error) if isinstance(outcome, Failed) else outcome


@pytest.mark.parametrize(
    ("params", "retries"),
    [({}, 5), ({"max_tries": 1}, 0), ({"max_tries": 3}, 2), ({"transient": ["corrupt_stream"]}, 5)],
)
def test_tries_are_bounded_and_for_the_reasons_that_were_named(params: dict[str, object], retries: int) -> None:
    local = LocalExecutor(ExecutorParams.model_validate({"backoff_s": 0, **params}))
    result = run(local, [FaultyStage()], make_tasks("offline-1", "corrupt-2", "3"))
    outcomes = {name: each for name, (each,) in result.outcomes.items()}
    assert {name: each.reason for name, each in outcomes.items() if isinstance(each, Failed)} == FAILED
    assert result.stats.stage("faulty").retries == retries


def test_this_process_waits_before_it_tries_again() -> None:
    started = time.monotonic()
    run(LocalExecutor(ExecutorParams(backoff_s=0.1, max_backoff_s=0.15)), [FaultyStage()], make_tasks("offline-1"))
    assert time.monotonic() - started > 0.1 + 0.15 + 0.15


@pytest.mark.parametrize("name", ["transient", "retry_reasons"])
def test_reasons_that_no_row_can_have_are_refused(name: str) -> None:
    model = ExecutorParams if name == "transient" else ReadParams
    with pytest.raises(ValueError, match=r"must be among unreadable, .* got too_short"):
        model.model_validate({name: ["too_short", "storage"]})
