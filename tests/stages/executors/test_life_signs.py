"""What workers of a node say of themselves in files, and what one of them tells of all."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from stages import heartbeat
from stages.errors import Reason
from stages.executors import life_signs, worker_limits
from stages.executors.cluster import Cluster, Shape
from stages.executors.life_signs import read_signs, write_signs
from stages.executors.process_memory import private_bytes
from stages.executors.worker_handle import CallKind, RemoteCall
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from stages.tasks import Failed
from tests.faults.faulty_stages import FaultyStage, executor, make_tasks, run
from tests.faults.waiting import wait_until


def test_signs_are_written_anew_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life_signs, "INTERVAL_S", 0.05)
    write_signs(tmp_path, "a")
    assert set(read_signs(tmp_path)) == {"a"}
    before = heartbeat.beats()
    heartbeat.beat()
    heartbeat.count("frames", 3)
    try:
        wait_until(lambda: read_signs(tmp_path)["a"].beats > before, describe=lambda: read_signs(tmp_path))
        wait_until(lambda: read_signs(tmp_path)["a"].counters.get("frames") == 3, describe=lambda: read_signs(tmp_path))
    finally:
        heartbeat.take_counts()
    assert read_signs(tmp_path)["a"].memory_bytes == pytest.approx(private_bytes(), rel=0.2)


def test_counters_that_are_too_long_are_left_out_and_torn_or_old_files_too(tmp_path: Path) -> None:
    heartbeat.count("x" * 5000)
    try:
        write_signs(tmp_path, "long")
    finally:
        heartbeat.take_counts()
    assert read_signs(tmp_path)["long"].counters == {}
    whole = (tmp_path / "long.signs").read_bytes()
    (tmp_path / "torn.signs").write_bytes(whole.replace(b"[", b"{"))
    (tmp_path / "empty.signs").write_bytes(b"")
    (tmp_path / "old.signs").write_bytes(whole)
    long_ago = time.time() - life_signs.MAX_AGE_S - 1
    os.utime(tmp_path / "old.signs", (long_ago, long_ago))
    assert set(read_signs(tmp_path)) == {"long"}


@pytest.fixture
def pool(ray_cluster: None) -> Iterator[WorkerPool]:
    """A pool whose two workers have started."""
    cluster = Cluster("auto")
    ready = WorkerPool(cluster, ExecutorParams(num_workers=2))
    try:
        for _ in range(2):
            ready.start_worker(Shape(1, 0))
        for worker in ready.workers:
            (call,) = worker.calls
            info = ray.get(call.result_ref)
            ready.end_call(worker, call)
            ready.on_worker_started(worker, info)
        yield ready
    finally:
        ready.close()
        cluster.close()


def test_either_worker_tells_of_both_on_its_node(pool: WorkerPool) -> None:
    for worker in pool.workers:
        told = ray.get(worker.actor.poll_node.remote())
        for each in pool.workers:
            assert told[each.worker_id].memory_bytes == pytest.approx(private_bytes(each.pid or 0), rel=0.3)


@pytest.mark.system
def test_hanging_workers_are_told_from_slow_ones_where_one_worker_of_the_node_is_asked(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hangs in C code and holds the GIL, so that it does not answer for itself or for others."""
    monkeypatch.setattr(worker_limits, "MAX_ASKED_ALONE", 0)
    monkeypatch.setattr("stages.executors.node_polls.UNANSWERED_S", 1.0)
    tasks = make_tasks("slow-0", "hang-0", "regex-0", "slow-1", "healthy-0")
    with executor(stall_timeout_s=8.0, max_item_deaths=1) as workers:
        result = run(workers, [FaultyStage()], tasks)
    for name in ("slow-0", "slow-1", "healthy-0"):
        assert result.outcomes[name] == ([{"id": name, "path": "faulty0"}],)
    for name in ("hang-0", "regex-0"):
        (outcome,) = result.outcomes[name]
        assert isinstance(outcome, Failed)
        assert (outcome.reason, "it made no progress for 8 s" in outcome.error) == (Reason.STALLED, True)


def test_no_worker_is_asked_by_itself_where_there_are_many(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_limits, "MAX_ASKED_ALONE", 1)
    for worker in pool.workers:
        pool.begin_call(worker, RemoteCall(CallKind.BATCH, worker.actor.info.remote(), run_id="r", stage=0))
        worker.beats = -1

    def are_told() -> bool:
        assert not pool.exceeding_limits()
        return all(worker.beats >= 0 for worker in pool.workers)

    wait_until(are_told, describe=lambda: pool.workers)
    assert all(worker.pending_poll is None for worker in pool.workers)
