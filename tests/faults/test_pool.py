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
from tests.faults.faulty_stages import Done, Load, Poison, Setup, Step, executor, loads, pipeline, run
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

LETHAL = {
    "segfault": (Reason.WORKER_DIED, "2 times its process crashed: Segmentation fault"),
    "sigkill": (Reason.WORKER_DIED, "2 times its process ended without a word"),
    "exit": (Reason.WORKER_DIED, "2 times its process ended"),
    "hang": (Reason.STALLED, "2 times it made no progress for {stall_s:g} s"),
    "regex": (Reason.STALLED, "2 times it made no progress for {stall_s:g} s"),
    "eat": (Reason.OUT_OF_MEMORY, "2 times its private memory went above 0.5 GiB"),
    "memory": (Reason.OUT_OF_MEMORY, "2 times MemoryError: cannot allocate 1 TiB"),
}
HARMLESS = {
    "raise": (Reason.STAGE_ERROR, "ValueError: broken on purpose"),
    "nothing": (Reason.STAGE_ERROR, "must return a task, a list of tasks, Rejected or Failed; got None"),
    "unpicklable": (Reason.STAGE_ERROR, "pickle"),
}
HEALTHY = [f"healthy-{index}" for index in range(6)]


@pytest.fixture(scope="module")
def stall_s(ray_cluster: None) -> float:
    """After how long a worker is held to hang: longer than starting one takes, so that the load stalls no other."""
    began = time.monotonic()
    with executor(num_workers=1) as pool:
        run(pool, [Step("a")], loads("1"))
    return max(2.0, math.ceil(time.monotonic() - began))


@pytest.fixture(scope="module")
def aftermath(stall_s: float, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run of all kinds of poison among healthy tasks, through two stages."""
    poisonous = [f"{kind}-0" for kind in (*LETHAL, *HARMLESS)]
    tasks = loads("sigkill-0-once", *HEALTHY[:3], *poisonous, *HEALTHY[3:], "slow-0")
    with executor(stall_timeout_s=stall_s, worker_memory_gb=0.5, max_item_deaths=2) as pool:
        return run(pool, [Poison(marks=tmp_path_factory.mktemp("marks")), Step("after")], tasks)


@pytest.mark.parametrize("kind", [*LETHAL, *HARMLESS])
def test_poison_is_failed_with_its_cause(aftermath: Done, stall_s: float, kind: str) -> None:
    reason, text = {**LETHAL, **HARMLESS}[kind]
    (outcome,) = aftermath.outcomes[f"{kind}-0"]
    assert isinstance(outcome, Failed)
    assert outcome.reason is reason
    assert text.format(stall_s=stall_s) in outcome.error


@pytest.mark.parametrize("task_id", [*HEALTHY, "sigkill-0-once", "slow-0"])
def test_poison_leaves_its_neighbours_alone(aftermath: Done, task_id: str) -> None:
    assert aftermath.outcomes[task_id] == ([{"id": task_id, "way": "poison0after0"}],)


def test_deaths_are_counted_by_reason(aftermath: Done) -> None:
    deaths = aftermath.stats.stage("poison").deaths
    assert deaths == {Reason.WORKER_DIED: 3 * 2 + 1, Reason.STALLED: 2 * 2, Reason.OUT_OF_MEMORY: 2 * 2}
    assert aftermath.stats.stage("after").deaths == {}
    assert aftermath.stats.stage("poison").peak_memory_bytes > 0.5 * (1 << 30)


def test_caller_hears_from_the_pool_while_it_waits(aftermath: Done) -> None:
    assert aftermath.pauses >= aftermath.stats.seconds


def test_batch_with_poison_loses_only_the_poison() -> None:
    with executor(num_workers=1) as pool:
        done = run(pool, [Poison(batch_size=4)], loads("1", "segfault-2", "3", "4", group="video"))
    assert done.outcomes["segfault-2"][0].reason is Reason.WORKER_DIED
    assert [done.outcomes[name] for name in ("1", "3", "4")] == [([{"id": name, "way": "poison0"}],) for name in "134"]
    assert done.stats.stage("poison").deaths == {Reason.WORKER_DIED: 1 + 3}


class PoisonSecondChild(Step):
    def process(self, task: Load) -> Load | list[Load] | Rejected | Failed:
        if task.way == "a1":
            os._exit(1)
        return super().process(task)


def test_poison_downstream_fails_one_child() -> None:
    with executor(max_item_deaths=1) as pool:
        done = run(pool, [Step("a", fan_out=3), PoisonSecondChild("b")], loads("x"))
    first, second, third = done.outcomes["x"]
    assert (first, third) == ([{"id": "x", "way": "a0b0"}], [{"id": "x", "way": "a2b0"}])
    assert second.reason is Reason.WORKER_DIED


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
        run(pool, [Setup(kind, tmp_path / "log")], loads("1", "2"))
    starts = (tmp_path / "log").read_text().count("setup cpu")
    assert starts == (1 if kind == "raise" else 3)


def test_closing_the_results_ends_busy_workers(tmp_path: Path) -> None:
    with executor(stall_timeout_s=3600.0) as pool:  # who waits for the tasks, waits for longer than a test may take
        results = pool.run(pipeline([Poison(marks=tmp_path)]), iter(loads("hang-1", "hang-2")), RunStats())
        began = time.monotonic()
        while len(list(tmp_path.iterdir())) < 2:
            assert next(results) is None
        at_work = time.monotonic()
        results.close()
        assert time.monotonic() - at_work < at_work - began, "ending a worker takes less than starting it"
        workers = [Path("/proc", mark.name) for mark in tmp_path.iterdir()]
        wait_until(lambda: not any(map(Path.exists, workers)), told=lambda: list(filter(Path.exists, workers)))
        assert run(pool, [Step("a")], loads("1")).outcomes == {"1": ([{"id": "1", "way": "a0"}],)}
