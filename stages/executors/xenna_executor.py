"""The Xenna executor: runs pipelines by Cosmos-Xenna, streaming or stage by stage (extra ``xenna``).

Xenna is handed all tasks at once, scales and feeds the stages itself, and ends where a worker dies. Its `run_pipeline`
runs in a thread; the driver reads what was done from the journal that the actors write.
"""

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import cosmos_xenna.pipelines.v1 as xenna  # pyrefly: ignore[missing-import]  # of the extra `xenna`
import loguru  # pyrefly: ignore[missing-import]  # comes with it
import ray
from ray.exceptions import RayError

from stages.errors import PhaseError, PoolError, Reason
from stages.executors.batch_runner import RetryPolicy
from stages.executors.cluster import Cluster, start_activity
from stages.executors.ray import worker_shapes
from stages.executors.shared_folders import check_shared
from stages.executors.xenna_stage import BatchEntry, Envelope, Journal, Outcomes, Place, RunSettings, XennaStage
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, ItemResult, Pipeline, RunStats
from stages.tasks import Failed, Task

POLL_S = 0.2
MAX_STOP_S = 30.0
"""Longest wait for Xenna to end once its actors are gone."""
_MAX_ACTORS = "40000"
_VARIABLES = {
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",  # Xenna gives devices to its actors itself
    "RAY_MAX_LIMIT_FROM_API_SERVER": _MAX_ACTORS,  # it asks for so many actors, which Ray refuses otherwise
    "RAY_MAX_LIMIT_FROM_DATA_SOURCE": _MAX_ACTORS,
}
"""What a Ray must know when it starts; for one that is joined, who starts it sets them."""
_ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
"""Of the Ray whose actors Xenna asks for; without it Ray looks for one, and gives up where there are several."""
_NEVER_S = 1e9
"""Interval of the reports that Xenna logs: all figures come from the journal."""


class XennaExecutor:
    """Keeps the private Ray, if it started one, from the first run until `close`; workers live for one run."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params
        self._cluster: Cluster | None = None
        self._environment_before: dict[str, str | None] = {}

    def start(self) -> None:
        """Do nothing: what a run needs starts with it."""

    def expect(self, following: Sequence[Sequence[AnyStage]]) -> None:
        """Do nothing: no stage is set up before its run."""

    def run(
        self, pipeline: Pipeline, tasks: Iterable[Task], stats: RunStats
    ) -> Generator[ItemResult | None, None, None]:
        """Yield one result per task as it is finished, in any order; None at the beginning and several times a second.

        All tasks are read before the first is worked on. Closing the iterator ends the workers.

        Raises:
            PhaseError: a stage cannot be set up.
            PoolError: Xenna ended before the work was done: a worker died, or the workers of all stages together,
                or in batch mode those of one, do not fit the cluster.
        """
        started = time.perf_counter()
        if self._cluster is None:
            stats.activity = start_activity(self.params.address)
            yield None  # it takes seconds
        cluster = self._cluster = self._cluster or self._connect()
        stats.activity = "setting up workers"
        yield None
        cluster.check_health()
        if not cluster.is_private:
            check_shared(cluster, pipeline.folders, pipeline.files)
        try:
            yield from _Run(pipeline, list(tasks), cluster, self.params, stats).results()
        finally:
            stats.seconds = time.perf_counter() - started

    def close(self) -> None:
        """End Ray where this executor started it."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
        for name, value in self._environment_before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self._environment_before = {}

    def _connect(self) -> Cluster:
        loguru.logger.disable("cosmos_xenna")
        self._environment_before = {name: os.environ.get(name) for name in (*_VARIABLES, _ADDRESS_VARIABLE)}
        os.environ.update(_VARIABLES)
        cluster = Cluster(self.params.address, with_api_server=True)
        os.environ[_ADDRESS_VARIABLE] = ray.get_runtime_context().gcs_address
        return cluster


class _Run:
    """One run of a pipeline."""

    def __init__(
        self, pipeline: Pipeline, tasks: list[Task], cluster: Cluster, params: ExecutorParams, stats: RunStats
    ) -> None:
        self._pipeline = pipeline
        self._tasks = tasks
        self._stats = stats
        self._cluster = cluster
        self._outcomes: dict[int, Outcomes] = {index: [] for index in range(len(tasks))}
        self._journal: Any = ray.remote(num_cpus=0, runtime_env=cluster.worker_environment)(Journal).remote()
        self._error: BaseException | None = None
        self._spec = self._translate(cluster, params)
        self._thread = threading.Thread(target=self._run, name="xenna", daemon=True)

    def results(self) -> Iterator[ItemResult | None]:
        """Yield results as the journal tells of them, and None in between."""
        self._thread.start()
        try:
            is_running = True
            while is_running:
                self._thread.join(POLL_S)
                is_running = self._thread.is_alive()
                self._cluster.check_health()
                for entry in self._ask("take"):
                    yield from self._add(entry)
                yield None
            self._raise_error()
            for index in list(self._outcomes):  # Xenna ended well and dropped them
                lost = Failed(Reason.WORKER_DIED, "Xenna ended without an outcome of this item.")
                yield ItemResult(self._tasks[index].task_id, (lost,))
        finally:
            self._stop()

    def _ask(self, method: str) -> Any:
        """What the journal answers.

        Raises:
            PoolError: it is lost.
        """
        try:
            return ray.get(getattr(self._journal, method).remote())
        except RayError as error:
            raise PoolError(
                f"The journal of {self._pipeline.name} must be there until the work is done, and was lost: {error} "
                "What is done stays, and the same command goes on from there."
            ) from error

    def _translate(self, cluster: Cluster, params: ExecutorParams) -> Any:
        """The pipeline in Xenna's terms."""
        environment = cluster.worker_environment.get("env_vars", {})
        policy = RetryPolicy.from_params(params)
        settings = RunSettings(self._journal, cluster.scratch, environment, policy)
        stages = self._pipeline.stages
        shapes = worker_shapes(self._pipeline.stages, cluster, params.gpu_rounding)
        last = len(stages) - 1
        specs = [
            XennaStage(stage, index, shape, settings, self._pipeline.collect if index == last else None).spec()
            for index, (stage, shape) in enumerate(zip(stages, shapes, strict=True))
        ]
        cpus = max(1, math.floor(cluster.total_resources.cpus))
        config = xenna.PipelineConfig(
            execution_mode=xenna.ExecutionMode.BATCH if params.mode == "xenna_batch" else xenna.ExecutionMode.STREAMING,
            cpu_allocation_percentage=min(1.0, (params.num_workers or cpus) / cpus + 1e-9),
            logging_interval_s=_NEVER_S,
            actor_pool_verbosity_level=xenna.VerbosityLevel.NONE,
            monitoring_verbosity_level=xenna.VerbosityLevel.NONE,
        )
        envelopes = [Envelope(Place(index), task) for index, task in enumerate(self._tasks)]
        return xenna.PipelineSpec(input_data=envelopes, stages=specs, config=config)

    def _run(self) -> None:
        rays = logging.getLogger("ray._private.worker")
        before = rays.level
        rays.setLevel(logging.ERROR)  # Xenna connects again, of which Ray warns twice
        try:
            xenna.run_pipeline(self._spec)
        except BaseException as error:  # noqa: BLE001 - raised again by the driver's thread
            self._error = error
        finally:
            rays.setLevel(before)

    def _add(self, entry: BatchEntry) -> Iterator[ItemResult]:
        """Take what an actor did into the figures; yields the items that are done by it."""
        self._stats.begin_work()
        stage = self._stats.stage(self._pipeline.stages[entry.stage].name)
        stage.add_batch(entry.num_tasks, entry.seconds, entry.counters)
        stage.retries += entry.retries
        for place, outcome in entry.outcomes:
            outcomes = self._outcomes[place.item]
            outcomes.append((place, outcome))
            if sum((each.share for each, _ in outcomes), Fraction(0)) == 1:
                in_order = sorted(self._outcomes.pop(place.item), key=lambda pair: pair[0].path)
                yield ItemResult(self._tasks[place.item].task_id, tuple(outcome for _, outcome in in_order))

    def _raise_error(self) -> None:
        """Raise what ended Xenna, if anything did, with what is known of it."""
        if self._error is None:
            return
        set_up_errors: list[str] = self._ask("set_up_errors")
        if set_up_errors:
            raise PhaseError(set_up_errors[0]) from self._error
        told = f"{type(self._error).__name__}: {str(self._error).strip().partition(chr(10))[0]}"
        if not isinstance(self._error, RayError):
            raise PoolError(
                f"Xenna must run {self._pipeline.name} to its end, got {told} Where workers of all stages do not fit "
                "together, executor.mode=xenna_batch takes one stage after another."
            ) from self._error
        suspects = [self._tasks[index].task_id for index in self._ask("items_in_work")]
        raise PoolError(
            f"Xenna must run {self._pipeline.name} to its end, but a worker died: {told} In work were "
            f"{', '.join(suspects[:8]) or 'no items'}. What is done stays, and the same command goes on from there; "
            "executor.mode=streaming goes on by itself, and fails only the item that kills its workers."
        ) from self._error

    def _stop(self) -> None:
        """End the actors, by which Xenna ends too, and then the journal."""
        with contextlib.suppress(PoolError):  # of the journal, which `results` has raised
            for actor in self._ask("actors") if self._thread.is_alive() or self._error else []:
                ray.kill(actor)
        self._thread.join(MAX_STOP_S)
        ray.kill(self._journal)
