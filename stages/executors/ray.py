"""The Ray executor: runs pipelines on Ray actors, streaming or stage by stage, on this machine or on a cluster."""

import time
from collections.abc import Generator, Iterable

from stages.errors import PoolError
from stages.executors.cluster import Cluster, Shape, start_activity
from stages.executors.gpu_memory import NO_GPU_ADVICE
from stages.executors.scheduler import Scheduler
from stages.executors.shared_folders import check_shared
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from stages.pipeline import ItemResult, Pipeline, RunStats
from stages.resources import GpuRounding
from stages.tasks import Task


class RayExecutor:
    """Keeps its workers, and the private Ray if it started one, from the first run until `close`."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params
        self._cluster: Cluster | None = None
        self._pool: WorkerPool | None = None

    def run(
        self, pipeline: Pipeline, tasks: Iterable[Task], stats: RunStats
    ) -> Generator[ItemResult | None, None, None]:
        """Yield one result per task as it is finished, in any order; None at the beginning and about twice a second.

        Closing the iterator ends the workers that are busy; idle ones stay for the next run.

        Raises:
            PhaseError: a stage cannot be sent to a worker or set up there.
            PoolError: a node does not see a local folder of the run; the machine lacks resources that a stage requires,
                or workers do not start.
        """
        started = time.perf_counter()
        if self._cluster is None:
            stats.activity = start_activity(self.params.address)
            yield None  # it takes seconds
        cluster = self._cluster = self._cluster or Cluster(self.params.address)
        stats.activity = "setting up workers"
        yield None
        cluster.check_health()
        if not cluster.is_private:
            check_shared(cluster, pipeline.folders, pipeline.files)
        pool = self._pool = self._pool or WorkerPool(cluster, self.params)
        scheduler = Scheduler(pipeline, pool, self.params, worker_shapes(pipeline, cluster, self.params.gpu_rounding))
        try:
            yield from scheduler.results(tasks, stats)
        finally:
            scheduler.stop()
            stats.seconds = time.perf_counter() - started

    def close(self) -> None:
        """End every worker, and Ray where this executor started it."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None


def worker_shapes(pipeline: Pipeline, cluster: Cluster, rounding: GpuRounding) -> list[Shape]:
    """The CPUs and GPUs that a worker of each stage holds.

    Raises:
        PoolError: this machine has fewer GPUs than a stage requires.
    """
    shapes = [cluster.shape_of(stage.resources, rounding) for stage in pipeline.stages]
    total = cluster.total_resources
    for stage, shape in zip(pipeline.stages, shapes, strict=True):
        if cluster.is_private and shape.gpus > total.gpus:
            raise PoolError(
                f"Stage {stage.name} requires {shape.gpus:g} GPUs, this machine has {total.gpus:g}. {NO_GPU_ADVICE}"
            )
    return shapes
