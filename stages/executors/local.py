"""Runs a pipeline in this process, one batch after another: for debugging and unit tests."""

import os
import time
from collections.abc import Iterable, Iterator

from stages.base import NodeInfo, WorkerMetadata
from stages.errors import PhaseError
from stages.executors.batch_runner import RetryRule, StageResult, batches, collect_rows, run_batch, set_up
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, ItemResult, Pipeline, Rows, RunStats, StageStats
from stages.tasks import Failed, Rejected, Task


class LocalExecutor:
    """No pool, no limits on time or memory; what kills the process ends the run."""

    def __init__(self, params: ExecutorParams) -> None:
        self.params = params

    def run(self, pipeline: Pipeline, tasks: Iterable[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Yield results in the order of the tasks."""
        started = time.perf_counter()
        node = NodeInfo("local", float(os.cpu_count() or 1), 0.0)
        ready: list[AnyStage] = []
        try:
            for stage in pipeline.stages:
                try:
                    set_up(stage, WorkerMetadata("local", node), node)
                except Exception as error:
                    raise PhaseError(f"Stage {stage.name} cannot be set up: {error}") from error
                ready.append(stage)
            for batch in batches(tasks, pipeline.stages[0].batch_size):
                yield from _run_through(pipeline, batch, stats, RetryRule.of(self.params))
                yield None
        finally:
            for stage in ready:
                stage.teardown()
            stats.seconds = time.perf_counter() - started

    def close(self) -> None:
        """Hold nothing."""


def _run_through(pipeline: Pipeline, batch: list[Task], stats: RunStats, retry: RetryRule) -> Iterator[ItemResult]:
    """Take one batch through all stages, keeping the order of children."""
    alive: list[tuple[int, Task | Rejected | Failed]] = list(enumerate(batch))
    for stage in pipeline.stages:
        alive = _advance(stage, alive, stats, retry)
    for index, task in enumerate(batch):
        outcomes: list[Rows | Rejected | Failed] = [
            value if isinstance(value, Rejected | Failed) else collect_rows(pipeline.collect, [value])
            for owner, value in alive
            if owner == index
        ]
        yield ItemResult(task.task_id, tuple(outcomes))


def _advance(
    stage: AnyStage, alive: list[tuple[int, Task | Rejected | Failed]], stats: RunStats, retry: RetryRule
) -> list[tuple[int, Task | Rejected | Failed]]:
    results: dict[int, list[Task] | Rejected | Failed] = {}
    positions = {id(value): position for position, (_, value) in enumerate(alive)}
    tasks = [value for _, value in alive if isinstance(value, Task)]
    for part in batches(tasks, stage.batch_size):
        for task, result in zip(part, _tried(stage, part, stats.stage(stage.name), retry), strict=True):
            results[positions[id(task)]] = result
    advanced: list[tuple[int, Task | Rejected | Failed]] = []
    for position, (owner, value) in enumerate(alive):
        result = results.get(position, value)
        children = result if isinstance(result, list) else [result]
        advanced.extend((owner, child) for child in children)
    return advanced


def _tried(stage: AnyStage, part: list[Task], stats: StageStats, retry: RetryRule) -> list[StageResult]:
    """Results of one batch; a task that fails for a reason that may pass is tried again, after a wait, alone."""
    results = _run(stage, part, stats)
    for place, task in enumerate(part):
        failures = 0
        while retry.admits(results[place], failures):
            failures += 1
            stats.retries += 1
            time.sleep(retry.backoff.wait_s(failures))
            (results[place],) = _run(stage, [task], stats)
    return results


def _run(stage: AnyStage, part: list[Task], stats: StageStats) -> list[StageResult]:
    done = run_batch(stage, part)
    stats.add_batch(len(part), done.seconds, done.counters)
    return done.results
