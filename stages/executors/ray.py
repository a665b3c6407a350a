"""Runs pipelines on Ray actors, streaming or stage by stage, on this machine or on a cluster."""

import time
from collections.abc import Generator, Iterable

from stages.errors import PoolError
from stages.executors.cluster import Cluster, Shape
from stages.executors.scheduler import PoolRun
from stages.executors.worker_pool import Crew
from stages.params import ExecutorParams
from stages.pipeline import ItemResult, Pipeline, RunStats
from stages.tasks import Task


class RayExecutor:
    """Keeps its workers, and the private Ray if it started one, from the first run until `close`."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params
        self._cluster: Cluster | None = None
        self._crew: Crew | None = None

    def run(
        self, pipeline: Pipeline, tasks: Iterable[Task], stats: RunStats
    ) -> Generator[ItemResult | None, None, None]:
        """Yield one result per task as it is finished, in any order, and None about twice a second meanwhile.

        Closing the iterator ends the workers that are busy; idle ones stay for the next run.

        Raises:
            PhaseError: a stage cannot be sent to a worker or set up there.
            PoolError: the machine lacks what a stage asks for, or workers do not start.
        """
        started = time.perf_counter()
        cluster = self._cluster = self._cluster or Cluster(self.params.address)
        cluster.check()
        crew = self._crew = self._crew or Crew(cluster, self.params)
        run = PoolRun(pipeline, crew, self.params, _shapes(pipeline, cluster))
        try:
            yield from run.results(tasks, stats)
        finally:
            run.stop()
            stats.seconds = time.perf_counter() - started

    def close(self) -> None:
        """End every worker, and Ray where this executor started it."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None


def _shapes(pipeline: Pipeline, cluster: Cluster) -> list[Shape]:
    """What a worker of each stage takes of the cluster."""
    shapes = [cluster.shape_of(stage.resources) for stage in pipeline.stages]
    total = cluster.total
    for stage, shape in zip(pipeline.stages, shapes, strict=True):
        if cluster.is_private and shape.gpus > total.gpus:
            raise PoolError(
                f"Stage {stage.name} requires {shape.gpus:g} GPUs, this machine has {total.gpus:g}. Choose a device "
                "or model that needs none, or join a cluster that has some with executor.address."
            )
    return shapes
