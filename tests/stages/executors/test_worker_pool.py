"""Time limits of workers, also after a while in which nobody checked them."""

import time
from collections.abc import Iterator

import pytest

from stages.executors import worker_limits
from stages.executors.cluster import Cluster, Shape
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_limits import MAX_CHECKED, POLL_INTERVAL_S, WorkerLimits
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """A pool with limits of one second, and one worker."""
    for limit in ("START_LIMIT_S", "SHUTDOWN_LIMIT_S"):
        monkeypatch.setattr(worker_limits, limit, 1.0)
    cluster = Cluster("auto")
    ready = WorkerPool(cluster, ExecutorParams(num_workers=1))
    ready.start_worker(Shape(1, 0))
    try:
        yield ready
    finally:
        ready.close()
        cluster.close()


@pytest.mark.parametrize("kind", [CallKind.START, CallKind.SHUT_DOWN])
def test_worker_has_its_whole_time_again_after_a_gap_in_checks(pool: WorkerPool, kind: CallKind) -> None:
    (worker,) = pool.workers
    (call,) = worker.calls
    call.kind = kind
    time.sleep(2 * POLL_INTERVAL_S + 0.1)
    assert list(pool.limits.exceeded(pool.workers)) == []
    started, late = time.monotonic(), list[WorkerHandle]()

    def is_late() -> bool:
        late.extend(each for each, _ in pool.limits.exceeded(pool.workers))
        return bool(late)

    wait_until(is_late, describe=lambda: late)
    assert late == [worker]
    assert time.monotonic() - started > 0.9


def test_many_workers_are_looked_at_in_turn_and_those_of_this_machine_always() -> None:
    limits = WorkerLimits(ExecutorParams())
    num_workers = 3 * MAX_CHECKED + 7
    workers = [WorkerHandle(str(number), Shape(1, 0), None, []) for number in range(num_workers)]
    here = workers[MAX_CHECKED + 1]
    here.pid = 1
    looked_at = [list(limits.in_turn(workers, [here])) for _ in range(4)]
    assert all(len(each) <= MAX_CHECKED + 1 and each.count(here) == 1 for each in looked_at)
    assert {id(worker) for each in looked_at for worker in each} == set(map(id, workers))
    assert limits.in_turn(workers[:MAX_CHECKED]) == workers[:MAX_CHECKED]


def test_extended_deadlines_do_not_start_in_the_future() -> None:
    call = RemoteCall(CallKind.BATCH, None, started_at=90.0)  # type: ignore[arg-type]
    worker = WorkerHandle("1", Shape(1, 0), None, [call], progress_at=20.0)
    worker.extend_deadlines(70.0, 100.0)
    assert (worker.progress_at, call.started_at) == (90.0, 100.0)
