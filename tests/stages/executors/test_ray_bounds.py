"""Pipelines on Ray actors give what they give in this process, within their bounds, and let go of what they took."""

from pathlib import Path

import pytest

from stages.executors.local import LocalExecutor
from stages.params import ExecutorParams
from stages.resources import Resources
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import FaultySetup, FaultyStage, PayloadTask, Step, executor, make_tasks, run
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

MIB = 1 << 20


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_results_equal_those_of_this_process(mode: str) -> None:
    stages = [Step("a", fan_out=3), FaultyStage("b"), Step("c", fan_out=2), Step("d", nbytes=MIB), Step("e")]
    tasks = make_tasks("1", "reject-2", "raise-3", "4", "nothing-5", "6")
    with executor(mode=mode) as ready:
        result = run(ready, stages, tasks)
    local = run(LocalExecutor(ExecutorParams()), stages, tasks)
    assert result.outcomes == local.outcomes
    assert [len(outcomes) for outcomes in result.outcomes.values()].count(6) == 3
    figures = {name: (stage.tasks, stage.counters) for name, stage in result.stats.stages.items()}
    assert figures == {name: (stage.tasks, stage.counters) for name, stage in local.stats.stages.items()}


class OnGpu(Step):
    """Runs on workers of another shape than other steps."""

    resources = Resources(gpus=0.5)


def test_queue_between_stages_is_bounded_by_bytes() -> None:
    stages = [Step("make", nbytes=4 * MIB), OnGpu("use", seconds=0.1)]
    with executor(queue_memory_gb=16 / 1024) as ready:
        result = run(ready, stages, make_tasks(*map(str, range(20))))
    assert 8 * MIB <= result.stats.stage("use").peak_queue_bytes <= (16 + 4) * MIB


def test_batches_hold_tasks_of_one_group() -> None:
    tasks = [*make_tasks("1", "2", "3", "4", group="x"), *make_tasks("5", "6", "7", group="y")]
    with executor(num_workers=1) as ready:
        result = run(ready, [Step("a"), Batched("b")], tasks)
    assert {name: rows[0]["path"][2:] for name, (rows,) in result.outcomes.items()} == {
        **dict.fromkeys("123", "x3"),
        "4": "x1",
        **dict.fromkeys("567", "y3"),
    }


class Batched(Step):
    """Writes group and size of its batch into the path."""

    batch_size = 3

    def process_batch(self, tasks: list[PayloadTask]) -> list[PayloadTask | list[PayloadTask] | Rejected | Failed]:
        groups = "".join({task.group for task in tasks})
        return [PayloadTask(task.task_id, path=f"{task.path}{groups}{len(tasks)}") for task in tasks]


def test_workers_outlive_a_run_and_tear_its_stages_down(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tasks = make_tasks(*map(str, range(6)))
    with executor() as ready:
        run(ready, [FaultySetup("none", log, name="first", num_workers=2)], tasks)
        run(ready, [FaultySetup("none", log, name="second", num_workers=2)], tasks)
    lines = [line.split(maxsplit=2) for line in log.read_text().splitlines()]
    pids = {pid for pid, _, _ in lines}
    assert len(pids) == 2
    for pid in pids:
        events = [(name, event) for owner, name, event in lines if owner == pid and event != "node"]
        assert events == [(name, event) for name in ("first", "second") for event in ("setup cpu 1 1", "teardown")]
    assert sorted(name for _, name, event in lines if event == "node") == ["first", "second"]
    wait_until(lambda: not alive(pids), describe=lambda: alive(pids))


def alive(pids: set[str]) -> list[str]:
    return [pid for pid in sorted(pids) if Path("/proc", pid).exists()]
