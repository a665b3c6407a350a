"""The Ray executor: runs pipelines on Ray actors, streaming or stage by stage, on this machine or on a cluster."""

import time
from collections.abc import Generator, Iterable, Sequence

from stages.errors import PoolError
from stages.executors.cluster import Cluster, Shape, start_activity
from stages.executors.gpu_memory import NO_GPU_ADVICE
from stages.executors.preparing import Preparation, can_be_prepared
from stages.executors.scheduler import Scheduler
from stages.executors.shared_folders import check_shared
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, ItemResult, Pipeline, RunStats
from stages.resources import GpuRounding
from stages.tasks import Task

MAX_STARTED_AHEAD = 2
"""Workers that start before there is a task, one for each of the first phases."""


class RayExecutor:
    """Keeps its workers, and the private Ray if it started one, from the first run until `close`."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params
        self._cluster: Cluster | None = None
        self._pool: WorkerPool | None = None
        self._following: Sequence[Sequence[AnyStage]] = ()

    def start(self) -> None:
        """Start Ray, and workers that set up the stages of the first two phases that are expected.

        Raises:
            PoolError: Ray does not start, or the machine lacks what a stage requires.
        """
        cluster = self._cluster = self._cluster or Cluster(self.params.address)
        pool = self._pool = self._pool or WorkerPool(cluster, self.params)
        for stages in self._following[: max(1, min(MAX_STARTED_AHEAD, pool.max_workers))]:
            shapes = worker_shapes(stages, cluster, self.params.gpu_rounding)
            if any(map(can_be_prepared, stages)) and len(set(shapes)) == 1:
                pool.start_worker(shapes[0])
                Preparation(pool, stages, shapes).submit_all(pool.workers[-1])

    def expect(self, following: Sequence[Sequence[AnyStage]]) -> None:
        """Let workers that have nothing left to do in a run set up the stages of the first of these phases."""
        self._following = following

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
        shapes = worker_shapes(pipeline.stages, cluster, self.params.gpu_rounding)
        scheduler = Scheduler(pipeline, pool, self.params, shapes, self._preparation(cluster, pool))
        try:
            yield from scheduler.results(tasks, stats)
        finally:
            scheduler.stop()
            stats.seconds = time.perf_counter() - started

    def _preparation(self, cluster: Cluster, pool: WorkerPool) -> Preparation | None:
        """Of the next phase, as far as this machine has what its stages require; the phase itself tells of the rest."""
        stages = [stage for stage in self._following[0] if can_be_prepared(stage)] if self._following else []
        return Preparation(pool, stages, worker_shapes(stages, cluster, self.params.gpu_rounding)) if stages else None

    def close(self) -> None:
        """End every worker, and Ray where this executor started it."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None


def worker_shapes(stages: Sequence[AnyStage], cluster: Cluster, rounding: GpuRounding) -> list[Shape]:
    """The CPUs and GPUs that a worker of each stage holds.

    Raises:
        PoolError: this machine has fewer GPUs than a stage requires.
    """
    shapes = [cluster.shape_of(stage.resources, rounding) for stage in stages]
    total = cluster.total_resources
    for stage, shape in zip(stages, shapes, strict=True):
        if cluster.is_private and shape.gpus > total.gpus:
            raise PoolError(
                f"Stage {stage.name} requires {shape.gpus:g} GPUs, this machine has {total.gpus:g}. {NO_GPU_ADVICE}"
            )
    return shapes
