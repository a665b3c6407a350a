"""The local executor: runs a pipeline in this process, one batch after another, for debugging and unit tests."""

import os
import time
from collections.abc import Iterable, Iterator

from stages.errors import PhaseError
from stages.executors.batch_runner import (
    RetryPolicy,
    StageResult,
    collect_rows,
    run_batch,
    set_up,
    split_into_batches,
)
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, ItemResult, Pipeline, Rows, RunStats, StageStats
from stages.stage import NodeInfo, WorkerMetadata
from stages.tasks import Failed, Rejected, Task


class LocalExecutor:
    """Runs without a worker pool and without limits on time or memory; a task that kills the process ends the run."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params

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
                    set_up(stage, WorkerMetadata("local", node), node)
                except Exception as error:
                    raise PhaseError(f"Stage {stage.name} cannot be set up: {error}") from error
                ready.append(stage)
            stats.begin_work()
            for batch in split_into_batches(tasks, pipeline.stages[0].batch_size):
                yield from _run_pipeline(pipeline, batch, stats, RetryPolicy.from_params(self.params))
                yield None
        finally:
            for stage in ready:
                stage.teardown()
            stats.seconds = time.perf_counter() - started

    def close(self) -> None:
        """Do nothing: no resources are held between runs."""


def _run_pipeline(
    pipeline: Pipeline, batch: list[Task], stats: RunStats, retry_policy: RetryPolicy
) -> Iterator[ItemResult]:
    """Run one batch through all stages, and keep the order of children."""
    values: list[tuple[int, Task | Rejected | Failed]] = list(enumerate(batch))
    for stage in pipeline.stages:
        values = _run_stage(stage, values, stats, retry_policy)
    for index, task in enumerate(batch):
        outcomes: list[Rows | Rejected | Failed] = [
            value if isinstance(value, Rejected | Failed) else collect_rows(pipeline.collect, [value])
            for owner, value in values
            if owner == index
        ]
        yield ItemResult(task.task_id, tuple(outcomes))


def _run_stage(
    stage: AnyStage, values: list[tuple[int, Task | Rejected | Failed]], stats: RunStats, retry_policy: RetryPolicy
) -> list[tuple[int, Task | Rejected | Failed]]:
    """Replace each task by its children or outcome; values carry the index of the first stage's task they come from."""
    results: dict[int, list[Task] | Rejected | Failed] = {}
    positions = {id(value): position for position, (_, value) in enumerate(values)}
    tasks = [value for _, value in values if isinstance(value, Task)]
    for batch in split_into_batches(tasks, stage.batch_size):
        stage_results = _run_with_retries(stage, batch, stats.stage(stage.name), retry_policy)
        for task, result in zip(batch, stage_results, strict=True):
            results[positions[id(task)]] = result
    following: list[tuple[int, Task | Rejected | Failed]] = []
    for position, (owner, value) in enumerate(values):
        result = results.get(position, value)
        children = result if isinstance(result, list) else [result]
        following.extend((owner, child) for child in children)
    return following


def _run_with_retries(
    stage: AnyStage, batch: list[Task], stats: StageStats, retry_policy: RetryPolicy
) -> list[StageResult]:
    """Results of one batch; a task that fails for a transient reason is retried alone after a wait."""
    results = _run_once(stage, batch, stats)
    for index, task in enumerate(batch):
        num_failures = 0
        while retry_policy.should_retry(results[index], num_failures):
            num_failures += 1
            stats.retries += 1
            time.sleep(retry_policy.backoff.wait_s(num_failures))
            (results[index],) = _run_once(stage, [task], stats)
    return results


def _run_once(stage: AnyStage, batch: list[Task], stats: StageStats) -> list[StageResult]:
    done = run_batch(stage, batch)
    stats.add_batch(len(batch), done.seconds, done.counters)
    return done.results
