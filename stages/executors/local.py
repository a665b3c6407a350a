"""The local executor: runs a pipeline in this process, one batch after another, for debugging and unit tests.

A batch runs in the caller's thread, where a debugger stops and an interrupt ends it. So nothing can be yielded
meanwhile; the beats of the work tell its progress.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stages import heartbeat
from stages.errors import PhaseError, PoolError
from stages.executors.batch_runner import (
    RetryPolicy,
    StageResult,
    collect_rows,
    run_batch,
    set_up,
    split_into_batches,
)
from stages.executors.gpu_memory import NO_GPU_ADVICE, smallest_gpu_gb
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, ItemResult, Pipeline, Rows, RunningBatch, RunStats
from stages.stage import NodeInfo, WorkerMetadata
from stages.tasks import Failed, Rejected, Task

MAX_SILENCE_S = 0.4
"""Longest time without a call of `RunStats.on_running` while work that beats is going on."""

_Value = tuple[Task, Task | Rejected | Failed]
"""A task that was given to the executor, and a task that stages made of it, or its outcome."""


class LocalExecutor:
    """Runs without a worker pool and without limits on time or memory; a task that kills the process ends the run."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params

    def start(self) -> None:
        """Do nothing: what a run needs starts with it."""

    def expect(self, following: Sequence[Sequence[AnyStage]]) -> None:
        """Do nothing: no stage is set up before its run."""

    def run(self, pipeline: Pipeline, tasks: Iterable[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Yield results in the order of the tasks; None at the beginning and after each batch."""
        started = time.perf_counter()
        stats.activity = "setting up stages"
        yield None
        node = NodeInfo("local", float(os.cpu_count() or 1), 0.0)
        ready: list[AnyStage] = []
        try:
            for stage in pipeline.stages:
                try:
                    set_up(stage, WorkerMetadata("local", node, _device_of(stage)), node)
                except Exception as error:  # a user's stage may raise anything
                    raise PhaseError(f"Stage {stage.name} cannot be set up: {error}") from error
                ready.append(stage)
            stats.begin_work()
            run = _PipelineRun(pipeline, stats, RetryPolicy.from_params(self.params))
            for batch in split_into_batches(tasks, pipeline.stages[0]):
                yield from run.results(batch)
                yield None
        finally:
            for stage in ready:
                stage.teardown()
            stats.seconds = time.perf_counter() - started

    def close(self) -> None:
        """Do nothing: no resources are held between runs."""


def _device_of(stage: AnyStage) -> str:
    """The device of a stage, which is this process's first GPU where it requires one.

    Raises:
        PoolError: it requires one, and this machine has none.
    """
    if not stage.resources.requires_gpu:
        return "cpu"
    if smallest_gpu_gb() is None:
        raise PoolError(f"It requires a GPU, and nvidia-smi finds none here. {NO_GPU_ADVICE}")
    return "cuda:0"


@dataclass(frozen=True)
class _PipelineRun:
    pipeline: Pipeline
    stats: RunStats
    retry_policy: RetryPolicy

    def results(self, batch: list[Task]) -> Iterator[ItemResult]:
        """Run one batch through all stages, and keep the order of children."""
        values: list[_Value] = [(task, task) for task in batch]
        for stage in self.pipeline.stages:
            values = self._run_stage(stage, values)
        for item in batch:
            outcomes: list[Rows | Rejected | Failed] = [
                value if isinstance(value, Rejected | Failed) else collect_rows(self.pipeline.collect, [value])
                for owner, value in values
                if owner is item
            ]
            yield ItemResult(item.task_id, tuple(outcomes))

    def _run_stage(self, stage: AnyStage, values: list[_Value]) -> list[_Value]:
        """Replace each task by its children or outcome."""
        results: dict[int, list[Task] | Rejected | Failed] = {}
        owners = {id(value): owner for owner, value in values}
        tasks = [value for _, value in values if isinstance(value, Task)]
        for batch in split_into_batches(tasks, stage):
            item_ids = tuple(owners[id(task)].task_id for task in batch)
            for task, result in zip(batch, self._run_with_retries(stage, batch, item_ids), strict=True):
                results[id(task)] = result
        following: list[_Value] = []
        for owner, value in values:
            result = results.get(id(value), value)
            children = result if isinstance(result, list) else [result]
            following.extend((owner, child) for child in children)
        return following

    def _run_with_retries(self, stage: AnyStage, batch: list[Task], item_ids: tuple[str, ...]) -> list[StageResult]:
        """Results of one batch; a task that fails for a transient reason is retried alone after a wait."""
        results = self._run_once(stage, batch, item_ids)
        for index, (task, item_id) in enumerate(zip(batch, item_ids, strict=True)):
            num_failures = 0
            while self.retry_policy.should_retry(results[index], num_failures):
                num_failures += 1
                self.stats.stage(stage.name).retries += 1
                time.sleep(self.retry_policy.backoff.wait_s(num_failures))
                (results[index],) = self._run_once(stage, [task], (item_id,))
        return results

    def _run_once(self, stage: AnyStage, batch: list[Task], item_ids: tuple[str, ...]) -> list[StageResult]:
        started = time.monotonic()

        def tell_progress() -> None:
            self.stats.running = [RunningBatch(item_ids, heartbeat.counts(), time.monotonic() - started)]
            self.stats.on_running()

        try:
            with heartbeat.listening(tell_progress, MAX_SILENCE_S):
                done = run_batch(stage, batch)
        finally:
            self.stats.running = []
        self.stats.stage(stage.name).add_batch(len(batch), done.seconds, done.counters)
        return done.results
