"""Stages whose batches mix groups, wait in the worker for one another, or wait for a server beside one another."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import heartbeat
from stages.errors import Reason
from stages.executors.ray import RayExecutor
from stages.pipeline import RunStats
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import FaultyStage, PayloadTask, Step, executor, make_tasks, pipeline, run
from tests.faults.waiting import STALL_TIMEOUT_S, wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

Outcome = PayloadTask | list[PayloadTask] | Rejected | Failed


@pytest.fixture(scope="module")
def pool(ray_cluster: None) -> Iterator[RayExecutor]:
    """One worker, so that what happens at once happens in it."""
    with executor(num_workers=1, max_item_deaths=2) as ready:
        yield ready


class Mixed(Step):
    """Writes the ids of its batch into the path."""

    batch_size = 4
    mixes_groups = True

    def process_batch(self, tasks: list[PayloadTask]) -> list[Outcome]:
        ids = "".join(task.task_id for task in tasks)
        return [PayloadTask(task.task_id, path=ids) for task in tasks]


def test_batches_of_a_stage_that_mixes_groups_are_full(pool: RayExecutor) -> None:
    tasks = [*make_tasks("1", "2", "3", group="x"), *make_tasks("4", "5", group="y"), *make_tasks("6", group="z")]
    result = run(pool, [Mixed("a")], tasks)
    assert {name: rows[0]["path"] for name, (rows,) in result.outcomes.items()} == {
        **dict.fromkeys("1234", "1234"),
        **dict.fromkeys("56", "56"),
    }


class AsksTogether(Step):
    """Answers once three of its batches are in the worker at once; another stage works there meanwhile."""

    batches_in_flight = 3
    waits_for_others = True

    def setup(self, worker_metadata: object) -> None:
        self.barrier = threading.Barrier(3)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "barrier"}

    def process(self, task: PayloadTask) -> Outcome:
        self.barrier.wait(timeout=STALL_TIMEOUT_S)
        return super().process(task)


def test_batches_of_a_stage_that_waits_are_in_work_at_once(pool: RayExecutor) -> None:
    result = run(pool, [Step("a"), AsksTogether("b"), Step("c")], make_tasks(*"123456"))
    assert result.outcomes == {name: ([{"id": name, "path": "a0b0c0"}],) for name in "123456"}
    assert result.stats.stage("b").tasks == 6
    assert result.stats.stage("a").counters == {"a_tasks": 6.0}
    assert result.stats.stage("b").counters == {"b_tasks": 6.0}


class HoldsUntilNextIsThere(Step):
    """The first batch ends when the driver has handed the second to the same worker."""

    batches_in_flight = 2

    def __init__(self, name: str, handed: Path) -> None:
        super().__init__(name)
        self.handed = handed

    def process(self, task: PayloadTask) -> Outcome:
        wait_until(self._is_handed, describe=lambda: self.handed)
        return super().process(task)

    def _is_handed(self) -> bool:
        heartbeat.beat()
        return self.handed.exists()


def test_next_batch_is_handed_over_while_one_is_computed(pool: RayExecutor, tmp_path: Path) -> None:
    handed = tmp_path / "handed"

    def tasks() -> Iterator[PayloadTask]:
        # Three may wait: the fifth is drawn when two have left the queue, and none is done before.
        yield from make_tasks(*"1234")
        handed.touch()
        yield from make_tasks("5")

    stages = [HoldsUntilNextIsThere("a", handed)]
    results = [each for each in pool.run(pipeline(stages), tasks(), RunStats()) if each is not None]
    assert {result.task_id for result in results} == set("12345")


class DiesBesideOthers(FaultyStage):
    """Several batches at once; one kills the worker, whichever are beside it."""

    batches_in_flight = 4
    waits_for_others = True


def test_task_that_kills_its_worker_is_told_from_those_beside_it(pool: RayExecutor, tmp_path: Path) -> None:
    stages = [Step("a"), DiesBesideOthers("b", markers=tmp_path)]
    result = run(pool, stages, make_tasks("1", "2", "exit-3", "4", "5"))
    (failed,) = result.outcomes.pop("exit-3")
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.WORKER_DIED
    assert result.outcomes == {name: ([{"id": name, "path": "a0b0"}],) for name in "1245"}
