"""Pipelines on Cosmos-Xenna, where it is installed; `make test-extras` installs it into an environment of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.errors import PhaseError, PoolError, Reason
from stages.executors import build_executor
from stages.params import ExecutorParams
from stages.pipeline import Executor, RunStats
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import FaultySetup, FaultyStage, Step, make_tasks, pipeline, run
from tests.faults.waiting import wait_until

pytest.importorskip("cosmos_xenna")


@pytest.fixture(scope="module", params=["xenna", "xenna_batch"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One executor with a private Ray of its own, for all tests of a mode."""
    ready = build_executor(ExecutorParams(mode=request.param, backoff_s=0.01, max_backoff_s=0.01))
    yield ready
    ready.close()


def test_children_of_stages_come_together_in_their_order(executor: Executor) -> None:
    result = run(executor, [Step("a", fan_out=3), Step("b", fan_out=2)], make_tasks("x", "y"))
    expected = tuple([{"id": "x", "path": f"a{first}b{second}"}] for first in range(3) for second in range(2))
    assert result.outcomes["x"] == expected
    assert set(result.outcomes) == {"x", "y"}
    assert result.stats.stages["a"].tasks == 2
    assert result.stats.stages["b"].tasks == 6
    assert result.stats.stages["b"].counters == {"b_tasks": 6}


def test_every_item_has_an_outcome(executor: Executor, tmp_path: Path) -> None:
    ids = ["good", "raise-1", "nothing-1", "reject-1", "corrupt-1", "offline-1", "offline-2-once"]
    result = run(executor, [FaultyStage(markers=tmp_path, batch_size=4), Step("after")], make_tasks(*ids))
    assert set(result.outcomes) == set(ids)
    told = {item: outcome.reason for item, (outcome,) in result.outcomes.items() if isinstance(outcome, Failed)}
    assert told == {
        "raise-1": Reason.STAGE_ERROR,
        "corrupt-1": Reason.CORRUPT_STREAM,
        "offline-1": Reason.STORAGE,
        "nothing-1": Reason.STAGE_ERROR,
    }
    assert isinstance(result.outcomes["reject-1"][0], Rejected)
    assert result.outcomes["offline-2-once"] == ([{"id": "offline-2-once", "path": "faulty0after0"}],)
    assert result.stats.stages["faulty"].retries == 6  # five further tries of the one, one of the other


def test_stage_is_set_up_with_the_threads_of_its_cpus(executor: Executor, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    stage = FaultySetup("", log)
    stage.max_workers = 1
    run(executor, [stage], make_tasks("1"))
    lines = [line.split(" ", 2)[2] for line in log.read_text().splitlines()]
    assert lines == ["node", "setup cpu 1 1"]


def test_failed_set_up_ends_the_phase_with_its_cause(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(PhaseError, match="Stage setup cannot be set up: broken on purpose"):
        run(executor, [FaultySetup("raise", tmp_path / "log")], make_tasks("1"))
    assert run(executor, [Step("a")], make_tasks("1")).outcomes["1"] == ([{"id": "1", "path": "a0"}],)


def test_dead_worker_ends_the_phase_and_what_was_in_work_is_named(executor: Executor, tmp_path: Path) -> None:
    stage = FaultyStage(markers=tmp_path)
    stage.max_workers = 1
    finished: list[str] = []
    results = executor.run(pipeline([stage]), make_tasks("good", "segfault-1", "late"), RunStats())
    with pytest.raises(PoolError, match=r"a worker died.* In work were segfault-1\."):
        finished.extend(result.task_id for result in results if result is not None)
    assert finished == ["good"]


def test_closed_iterator_ends_the_workers(executor: Executor, tmp_path: Path) -> None:
    results = executor.run(pipeline([FaultyStage(markers=tmp_path)]), make_tasks("hang-1"), RunStats())
    for _ in results:
        if list(tmp_path.iterdir()):
            break
    results.close()  # type: ignore[attr-defined]

    def alive() -> list[str]:
        return [marker.name for marker in tmp_path.iterdir() if _is_alive(int(marker.name))]

    wait_until(lambda: not alive(), describe=alive)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as handle:
            return handle.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stages_that_do_not_fit_together_are_refused_with_the_way_out() -> None:
    executor = build_executor(ExecutorParams(mode="xenna", num_workers=1))
    try:
        with pytest.raises(PoolError, match=r"Not enough CPU resources.*executor\.mode=xenna_batch"):
            run(executor, [Step(str(index)) for index in range(1 + (os.cpu_count() or 1))], make_tasks("1"))
    finally:
        executor.close()
