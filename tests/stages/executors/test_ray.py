"""Pipelines on Ray actors: order, shapes, and what cannot run."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import heartbeat
from stages.errors import PhaseError
from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.pipeline import RunStats
from stages.resources import Resources
from stages.stage import WorkerMetadata
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import PayloadTask, Step, executor, make_tasks, pipeline, run

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def pool(ray_cluster: None) -> Iterator[RayExecutor]:
    """One executor for all, so that they share its workers."""
    with executor() as ready:
        yield ready


def test_outcomes_stand_in_the_order_of_children_not_of_completion(pool: RayExecutor) -> None:
    result = run(pool, [Step("a", fan_out=6), SlowFirst("b"), Step("c", fan_out=2)], make_tasks("x"))
    paths = [row["path"] for rows in result.outcomes["x"] for row in rows]
    assert paths == [f"a{first}b0c{second}" for first in range(6) for second in range(2)]


class SlowFirst(Step):
    """Takes longer for earlier children."""

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        self.seconds = 0.1 * (5 - int(task.path[-1]))
        return super().process(task)


def test_tasks_are_drawn_as_room_comes_free(pool: RayExecutor) -> None:
    drawn: list[int] = []

    def source() -> Iterator[PayloadTask]:
        for index in range(200):
            drawn.append(index)
            yield PayloadTask(str(index))

    finished = 0
    for result in pool.run(pipeline([Step("a"), Step("b")]), source(), RunStats()):
        finished += result is not None
        assert len(drawn) - finished < 20
    assert finished == 200


class OnGpu(Step):
    """Runs on workers of another shape than other steps; its row says on what device."""

    resources = Resources(gpu_memory_gb=12)

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self.name = worker_metadata.device


def test_stage_with_gpu_memory_runs_on_a_worker_that_holds_a_share(pool: RayExecutor) -> None:
    result = run(pool, [Step("a"), OnGpu("b")], make_tasks("1"))
    assert result.outcomes["1"] == ([{"id": "1", "path": "a0cuda:00"}],)


class ManyCpus(Step):
    """Takes both CPUs of the test's Ray, and more than any machine has where that is asked for."""

    def __init__(self, name: str, cpus: float) -> None:
        super().__init__(name)
        self.resources = Resources(cpus=cpus)


@pytest.mark.parametrize("cpus", [2.0, 4096.0])
def test_shapes_that_do_not_fit_together_take_turns(pool: RayExecutor, cpus: float) -> None:
    result = run(pool, [Step("a"), ManyCpus("b", cpus), Step("c")], make_tasks("1", "2", "3"))
    assert result.outcomes == {name: ([{"id": name, "path": "a0b0c0"}],) for name in "123"}


class CountsUntilSeen(Step):
    """Counts frames until the driver has seen some, which creates the file."""

    def __init__(self, name: str, seen: Path) -> None:
        super().__init__(name)
        self.seen = seen

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        while not self.seen.exists():
            heartbeat.beat()
            heartbeat.count("frames")
            time.sleep(0.01)
        return super().process(task)


def test_driver_sees_what_a_batch_has_counted_while_it_runs(pool: RayExecutor, tmp_path: Path) -> None:
    seen, stats, activities = tmp_path / "seen", RunStats(), list[str]()
    counted: list[float] = []
    for _ in pool.run(pipeline([CountsUntilSeen("a", seen)]), make_tasks("long"), stats):
        activities.append(stats.activity)
        for batch in stats.running:
            assert batch.task_ids == ("long",)
            counted.append(batch.counters["frames"])
        if len(set(counted)) == 2:
            seen.touch()
    assert counted == sorted(counted)
    assert max(counted) <= stats.stages["a"].counters["frames"]
    assert not stats.running, "none is left at the end"
    assert list(dict.fromkeys(activities)) == ["setting up workers", ""]
    assert stats.work_began_at is not None


def test_first_run_says_that_it_connects(ray_cluster: None) -> None:
    stats = RunStats()
    results = RayExecutor(ExecutorParams()).run(pipeline([Step("a")]), make_tasks("1"), stats)
    assert next(results) is None
    assert stats.activity == "connecting to Ray"
    results.close()


def test_run_without_tasks_ends(pool: RayExecutor) -> None:
    assert run(pool, [Step("a")], []).outcomes == {}


def test_run_rejects_a_stage_that_cannot_travel(pool: RayExecutor) -> None:
    with pytest.raises(PhaseError, match="Stage a must be picklable to reach a worker, got TypeError"):
        run(pool, [UnpicklableStage("a")], make_tasks("1"))


class UnpicklableStage(Step):
    """Holds what cannot be pickled."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lock = threading.Lock()
