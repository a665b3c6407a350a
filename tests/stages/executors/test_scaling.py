"""When workers are started."""

import time
from collections.abc import Iterator

import pytest
import ray

from stages.executors.cluster import Cluster, Shape
from stages.executors.scaling import WorkerScaler
from stages.executors.worker_handle import CallKind, RemoteCall
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from tests.faults.session_ray import wait_for_free_cpus

pytestmark = pytest.mark.usefixtures("ray_cluster")

SHAPE = Shape(1, 0)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """A pool that may have two workers and has none."""
    wait_for_free_cpus()
    cluster = Cluster("auto")
    ready = WorkerPool(cluster, ExecutorParams(num_workers=2))
    try:
        yield ready
    finally:
        ready.close()
        cluster.close()


def test_shape_that_is_held_back_gets_no_second_worker_for_a_while(pool: WorkerPool) -> None:
    """It gets a first one: without any worker the run would stand still."""
    scaler = WorkerScaler(pool, [SHAPE])
    scaler.hold_back(SHAPE, 60.0)
    scaler.scale([1])
    (worker,) = pool.workers
    (start,) = worker.calls
    pool.on_worker_started(worker, ray.get(start.result_ref))
    pool.end_call(worker, start)
    pool.begin_call(worker, RemoteCall(CallKind.BATCH, start.result_ref))
    scaler.scale([9])
    time.sleep(2.1)  # batches that have waited for so long are worth another worker
    scaler.scale([9])
    assert len(pool.workers) == 1
    scaler.hold_back(SHAPE, 0.0)
    scaler.scale([9])
    time.sleep(2.1)
    scaler.scale([9])
    assert len(pool.workers) == 2
