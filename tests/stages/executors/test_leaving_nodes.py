"""Workers of nodes that are left out or lost, on a simulated cluster: the pool finds them by their node."""

from typing import Any

import pytest

from benchmarks.simulated_clock import Answer, Clock, RayCosts
from benchmarks.simulated_cluster import SimulatedCluster
from stages.executors import worker_pool
from stages.executors.cluster import Shape
from stages.executors.node_health import MAX_NODE_FAILURES
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams

NUM_NODES, CPUS = 3, 2


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> SimulatedCluster:
    made = SimulatedCluster(NUM_NODES, CPUS, Clock(), batch_s=[10.0], losses_an_hour=0.0, costs=RayCosts())
    monkeypatch.setattr(worker_pool, "ray", made)
    return made


@pytest.fixture
def pool(cluster: SimulatedCluster) -> WorkerPool:
    """A pool whose workers, two on each node, have started."""
    made = WorkerPool(cluster, ExecutorParams(address="auto"))  # pyrefly: ignore[bad-argument-type]
    for _ in range(NUM_NODES * CPUS):
        made.start_worker(Shape(1, 0))
    while made.calls.has(CallKind.START):
        for worker, call in made.wait_for_calls(1.0):
            made.end_call(worker, call)
            made.on_worker_started(worker, cluster.get(call.result_ref))
    return made


def on_node(pool: WorkerPool, node_id: str) -> list[WorkerHandle]:
    return [worker for worker in pool.workers if worker.node_id == node_id]


def let_leave(pool: WorkerPool) -> None:
    """What the scheduler does in some of its turns."""
    for _ in range(3):
        pool.leave_nodes()
        pool.shut_down_drained()
        for worker, call in pool.wait_for_calls(0.1):
            pool.end_call(worker, call)
            if call.kind is CallKind.SHUT_DOWN:
                pool.kill(worker)


def test_workers_of_a_node_that_is_left_out_leave_after_their_batch(pool: WorkerPool) -> None:
    bad, *good = sorted(pool.node_ids())
    idle, busy = on_node(pool, bad)
    never: Any = Answer(0.0)
    pool.begin_call(busy, RemoteCall(CallKind.BATCH, never, run_id="r", stage=0))
    for _ in range(MAX_NODE_FAILURES):
        pool.health.on_failure(bad, "a disk is full", pool.node_ids())
    let_leave(pool)
    assert on_node(pool, bad) == [busy]
    assert idle not in pool.workers
    assert busy.is_draining
    pool.end_call(busy, busy.calls[0])
    let_leave(pool)
    assert {worker.node_id for worker in pool.workers} == set(good)
    assert len(pool.workers) == len(good) * CPUS


def test_idle_workers_of_a_lost_node_are_removed_and_no_other(pool: WorkerPool, cluster: SimulatedCluster) -> None:
    lost, *left = sorted(pool.node_ids())
    pool.remove_dead_idle()
    assert len(pool.workers) == NUM_NODES * CPUS
    cluster._lose(cluster._machines[lost])
    pool.remove_dead_idle()
    assert {worker.node_id for worker in pool.workers} == set(left)
    assert len(pool.workers) == len(left) * CPUS
