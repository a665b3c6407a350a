"""What a worker's end costs.

1. Whatever a task does to its worker, the run returns, with one result a task.
2. A task that ends `max_item_deaths` workers is failed, with the reason and what happened each time.
3. Its neighbours are untouched, also those of its batch.
4. A task that ended a worker once and then goes through leaves no trace in the results.
5. A stage that cannot be set up stops the run, by name, and never loops.
"""

import math
import os
import time
from pathlib import Path

import pytest

from stages.errors import PhaseError, Reason
from stages.pipeline import RunStats
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import (
    FaultySetup,
    FaultyStage,
    PayloadTask,
    RunResult,
    Step,
    executor,
    make_tasks,
    pipeline,
    run,
)
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

LETHAL_FAULTS = {
    "segfault": (Reason.WORKER_DIED, "2 times its process crashed: Segmentation fault"),
    "sigkill": (Reason.WORKER_DIED, "2 times its process ended without a word"),
    "exit": (Reason.WORKER_DIED, "2 times its process ended"),
    "hang": (Reason.STALLED, "2 times it made no progress for {stall_s:g} s"),
    "regex": (Reason.STALLED, "2 times it made no progress for {stall_s:g} s"),
    "exhaust_memory": (Reason.OUT_OF_MEMORY, "2 times its private memory went above 0.5 GiB"),
    "memory_error": (Reason.OUT_OF_MEMORY, "2 times MemoryError: cannot allocate 1 TiB"),
    "lost_gpu": (Reason.WORKER_DIED, "2 times The GPU answers this process no more: RuntimeError: CUDA error"),
}
HARMLESS_FAULTS = {
    "raise": (Reason.STAGE_ERROR, "ValueError: broken on purpose"),
    "nothing": (Reason.STAGE_ERROR, "must return a task, a list of tasks, Rejected or Failed; got None"),
    "unpicklable": (Reason.STAGE_ERROR, "pickle"),
}
HEALTHY = [f"healthy-{index}" for index in range(6)]


@pytest.fixture(scope="module")
def stall_s(ray_cluster: None) -> float:
    """After how long a worker is held to hang: longer than starting one takes, so that the load stalls no other."""
    started = time.monotonic()
    with executor(num_workers=1) as pool:
        run(pool, [Step("a")], make_tasks("1"))
    return max(2.0, math.ceil(time.monotonic() - started))


@pytest.fixture(scope="module")
def result(stall_s: float, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """One run of all kinds of poison among healthy tasks, through two stages."""
    poison_tasks = [f"{kind}-0" for kind in (*LETHAL_FAULTS, *HARMLESS_FAULTS)]
    tasks = make_tasks("sigkill-0-once", *HEALTHY[:3], *poison_tasks, *HEALTHY[3:], "slow-0")
    with executor(stall_timeout_s=stall_s, worker_memory_gb=0.5, max_item_deaths=2) as pool:
        return run(pool, [FaultyStage(markers=tmp_path_factory.mktemp("markers")), Step("after")], tasks)


@pytest.mark.system
@pytest.mark.parametrize("kind", [*LETHAL_FAULTS, *HARMLESS_FAULTS])
def test_poison_is_failed_with_its_cause(result: RunResult, stall_s: float, kind: str) -> None:
    reason, text = {**LETHAL_FAULTS, **HARMLESS_FAULTS}[kind]
    (outcome,) = result.outcomes[f"{kind}-0"]
    assert isinstance(outcome, Failed)
    assert outcome.reason is reason
    assert text.format(stall_s=stall_s) in outcome.error


@pytest.mark.system
@pytest.mark.parametrize("task_id", [*HEALTHY, "sigkill-0-once", "slow-0"])
def test_poison_leaves_its_neighbours_alone(result: RunResult, task_id: str) -> None:
    assert result.outcomes[task_id] == ([{"id": task_id, "path": "faulty0after0"}],)


@pytest.mark.system
def test_deaths_are_counted_by_reason(result: RunResult) -> None:
    deaths = result.stats.stage("faulty").deaths
    assert deaths == {Reason.WORKER_DIED: 4 * 2 + 1, Reason.STALLED: 2 * 2, Reason.OUT_OF_MEMORY: 2 * 2}
    assert result.stats.stage("after").deaths == {}
    assert result.stats.stage("faulty").peak_memory_bytes > 0.5 * (1 << 30)


@pytest.mark.system
def test_caller_hears_from_the_pool_while_it_waits(result: RunResult) -> None:
    assert result.pauses >= result.stats.seconds


@pytest.mark.system
def test_batch_with_poison_loses_only_the_poison() -> None:
    with executor(num_workers=1) as pool:
        result = run(pool, [FaultyStage(batch_size=4)], make_tasks("1", "segfault-2", "3", "4", group="video"))
    assert result.outcomes["segfault-2"][0].reason is Reason.WORKER_DIED
    assert [result.outcomes[name] for name in ("1", "3", "4")] == [
        ([{"id": name, "path": "faulty0"}],) for name in "134"
    ]
    assert result.stats.stage("faulty").deaths == {Reason.WORKER_DIED: 1 + 3}


class CrashAtSecondChild(Step):
    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        if task.path == "a1":
            os._exit(1)
        return super().process(task)


@pytest.mark.system
def test_poison_downstream_fails_one_child() -> None:
    with executor(max_item_deaths=1) as pool:
        result = run(pool, [Step("a", fan_out=3), CrashAtSecondChild("b")], make_tasks("x"))
    first, second, third = result.outcomes["x"]
    assert (first, third) == ([{"id": "x", "path": "a0b0"}], [{"id": "x", "path": "a2b0"}])
    assert second.reason is Reason.WORKER_DIED


@pytest.mark.system
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("raise", "Stage setup cannot be set up: ValueError: broken on purpose"),
        ("segfault", "ended 3 workers in a row: its process crashed: Segmentation fault"),
        ("hang", "ended 3 workers in a row: it made no progress for 2.5 s"),
    ],
)
def test_setup_that_fails_stops_the_run(kind: str, text: str, tmp_path: Path) -> None:
    stall_timeout_s = 0.5 if kind == "hang" else 30.0
    with executor(stall_timeout_s=stall_timeout_s, num_workers=1) as pool, pytest.raises(PhaseError, match=text):
        run(pool, [FaultySetup(kind, tmp_path / "log")], make_tasks("1", "2"))
    starts = (tmp_path / "log").read_text().count("setup cpu")
    assert starts == (1 if kind == "raise" else 3)


@pytest.mark.system
def test_closing_the_results_ends_busy_workers(tmp_path: Path) -> None:
    with executor(stall_timeout_s=3600.0) as pool:  # who waits for the tasks, waits for longer than a test may take
        results = pool.run(pipeline([FaultyStage(markers=tmp_path)]), iter(make_tasks("hang-1", "hang-2")), RunStats())
        started = time.monotonic()
        while len(list(tmp_path.iterdir())) < 2:
            assert next(results) is None
        at_work = time.monotonic()
        results.close()
        assert time.monotonic() - at_work < at_work - started, "ending a worker takes less than starting it"
        workers = [Path("/proc", marker.name) for marker in tmp_path.iterdir()]
        wait_until(lambda: not any(map(Path.exists, workers)), describe=lambda: list(filter(Path.exists, workers)))
        assert run(pool, [Step("a")], make_tasks("1")).outcomes == {"1": ([{"id": "1", "path": "a0"}],)}
