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
from tests.faults.faulty_stages import Poison, Step, collect, executor, is_first, loads, run

FAILED = {"offline-1": Reason.STORAGE, "torn-2": Reason.CORRUPT_STREAM}


@pytest.mark.usefixtures("ray_cluster")
def test_pool_tries_passing_failures_again_after_growing_waits(tmp_path: Path) -> None:
    tasks = loads("offline-1", "torn-2", "offline-3-once", *map(str, range(4, 24)))
    with executor(max_tries=4, backoff_s=0.4) as pool:
        done = run(pool, [Poison(marks=tmp_path), Step("after", seconds=0.02)], tasks)
    outcomes = {name: each for name, (each,) in done.outcomes.items()}
    assert {name: each.reason for name, each in outcomes.items() if isinstance(each, Failed)} == FAILED
    assert outcomes["offline-3-once"] == [{"id": "offline-3-once", "way": "poison0after0"}]
    poison = done.stats.stage("poison")
    assert (poison.retries, poison.tasks) == (3 + 1, len(tasks) + 3 + 1)
    assert done.stats.seconds > 0.4 + 0.8 + 1.6
    assert done.stats.stage("after").idle_s > 0.8, "the last try of the first task was waited for"


@dataclass(frozen=True)
class Passing:
    """What a machine says that has trouble, once or each time, where a folder tells that it was said."""

    marks: Path
    is_once: bool

    def __call__(self) -> None:
        if is_first(self.marks / "said") or not self.is_once:
            raise OSError(errno.EIO, "no answer")


IN_TROUBLE = (Reason.STORAGE, f"OSError: [Errno {errno.EIO}] no answer")


@dataclass(frozen=True)
class CollectPassing:
    """Has trouble with the last of three children."""

    trouble: Passing

    def __call__(self, task: Any) -> list[Row]:
        if task.way == "a2":
            self.trouble()
        return collect(task)


@dataclass(frozen=True)
class Unstorable:
    """Has trouble where it is handed over."""

    trouble: Passing

    def __reduce__(self) -> tuple[type, tuple[Passing]]:
        self.trouble()
        return Unstorable, (self.trouble,)


@dataclass(frozen=True)
class CollectUnstorable:
    """Makes a row that has trouble."""

    trouble: Passing

    def __call__(self, task: Any) -> list[Row]:
        return [{"id": task.task_id, "way": Unstorable(self.trouble)}]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("is_once", "retries"), [(True, 1), (False, 2)])
def test_child_whose_rows_cannot_be_made_is_tried_again_with_its_task(
    is_once: bool, retries: int, tmp_path: Path
) -> None:
    trouble = Passing(tmp_path, is_once)
    with executor(num_workers=1, max_tries=3, backoff_s=0) as pool:
        done = run(pool, [Step("a", fan_out=3)], loads("1"), collect=CollectPassing(trouble))
    kept = [[{"id": "1", "way": f"a{index}"}] for index in range(3)]
    assert list(map(rows_or_failure, done.outcomes["1"])) == (kept if is_once else [*kept[:2], IN_TROUBLE])
    assert done.stats.stage("a").retries == retries


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("is_once", "retries"), [(True, 1), (False, 2)])
def test_rows_that_cannot_be_handed_over_are_made_again(is_once: bool, retries: int, tmp_path: Path) -> None:
    trouble = Passing(tmp_path, is_once)
    with executor(num_workers=1, max_tries=3, backoff_s=0) as pool:
        done = run(pool, [Step("a")], loads("1"), collect=CollectUnstorable(trouble))
    kept = [{"id": "1", "way": Unstorable(trouble)}]
    assert list(map(rows_or_failure, done.outcomes["1"])) == [kept if is_once else IN_TROUBLE]
    assert done.stats.stage("a").retries == retries


def rows_or_failure(outcome: object) -> object:
    """The rows, or why there are none."""
    return (outcome.reason, outcome.error) if isinstance(outcome, Failed) else outcome


@pytest.mark.parametrize(
    ("params", "retries"),
    [({}, 5), ({"max_tries": 1}, 0), ({"max_tries": 3}, 2), ({"transient": ["corrupt_stream"]}, 5)],
)
def test_tries_are_bounded_and_for_the_reasons_that_were_named(params: dict[str, object], retries: int) -> None:
    local = LocalExecutor(ExecutorParams.model_validate({"backoff_s": 0, **params}))
    done = run(local, [Poison()], loads("offline-1", "torn-2", "3"))
    outcomes = {name: each for name, (each,) in done.outcomes.items()}
    assert {name: each.reason for name, each in outcomes.items() if isinstance(each, Failed)} == FAILED
    assert done.stats.stage("poison").retries == retries


def test_this_process_waits_before_it_tries_again() -> None:
    began = time.monotonic()
    run(LocalExecutor(ExecutorParams(backoff_s=0.1, max_backoff_s=0.15)), [Poison()], loads("offline-1"))
    assert time.monotonic() - began > 0.1 + 0.15 + 0.15


@pytest.mark.parametrize("name", ["transient", "retry_reasons"])
def test_reasons_that_no_row_can_have_are_refused(name: str) -> None:
    model = ExecutorParams if name == "transient" else ReadParams
    with pytest.raises(ValueError, match=r"must be among unreadable, .* got too_short"):
        model.model_validate({name: ["too_short", "storage"]})
