"""The task ledger: queues, retries, outcomes and statistics of all tasks of one run."""

import logging
from collections.abc import Sequence

from ray.exceptions import RayError

from stages.executors.batch_runner import RetryPolicy
from stages.executors.exit_reasons import (
    ExitReason,
    failure_after_deaths,
    failure_of_ray_error,
    is_death_limit_reached,
    needs_quarantine,
)
from stages.executors.queues import MIN_TASK_BYTES, Item, PendingTask, RetryQueue, StageQueue, TaskBlock
from stages.executors.worker import BatchReport, ChildInfo
from stages.executors.worker_handle import RemoteCall
from stages.params import ExecutorParams
from stages.pipeline import Pipeline, RunStats, StageStats
from stages.tasks import Failed, Task

logger = logging.getLogger(__name__)

EVICTION_DELAY_S = 1.0
"""Wait of a task after an eviction, which often hits several workers at once, idle ones too."""


class TaskLedger:
    """The state of every task of a run.

    Attributes:
        queues: one a stage, in order.
        stats: statistics of the run so far, by stage.
        child_bytes: size of the children of the last batch, by the stage that made them.
    """

    def __init__(self, pipeline: Pipeline, params: ExecutorParams) -> None:
        self.queues = [StageQueue(stage.batch_size, mixes_groups=stage.mixes_groups) for stage in pipeline.stages]
        self.stats = RunStats()
        self.child_bytes = [0] * len(pipeline.stages)
        self._stage_names = [stage.name for stage in pipeline.stages]
        self._retry_policy = RetryPolicy.from_params(params)
        self._max_deaths = params.max_item_deaths
        self._retry_queue = RetryQueue()
        self._finished: list[Item] = []

    @property
    def is_done(self) -> bool:
        """Whether every task that was added has its outcome."""
        return all(queue.is_done for queue in self.queues)

    @property
    def num_waiting_retries(self) -> int:
        """Tasks in the retry queue."""
        return len(self._retry_queue)

    def stage_stats(self, stage: int) -> StageStats:
        """Statistics of a stage so far."""
        return self.stats.stage(self._stage_names[stage])

    def add(self, task: Task) -> None:
        """Queue a task from the driver for the first stage."""
        self.queues[0].push(PendingTask(Item(task.task_id), (), TaskBlock([task], 0, 1), 0, task.group))

    def pop_finished(self) -> list[Item]:
        """Items whose last outcome arrived since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def requeue_due(self) -> None:
        """Queue the tasks again whose next try is due."""
        for stage, task in self._retry_queue.pop_due():
            self.queues[stage].requeue(task)

    def on_batch_done(self, call: RemoteCall, report: BatchReport) -> None:
        """Record the results of a batch, and queue its children for the next stage."""
        stats = self.stage_stats(call.stage)
        stats.add_batch(len(call.tasks), report.seconds, report.counters)
        stats.peak_memory_bytes = max(stats.peak_memory_bytes, call.peak_bytes, report.memory_bytes)
        block = self._add_child_block(call, report)
        block_index = 0
        for task, results in zip(call.tasks, report.results, strict=True):
            if any(self._retry_policy.should_retry(result, task.num_failures) for result in results):
                self._retry_later(call.stage, task)
                continue
            for index, result in enumerate(results):
                path = (*task.path, index)
                if isinstance(result, ChildInfo):
                    self.queues[call.stage + 1].push(PendingTask(task.item, path, block, block_index, result.group))
                    task.item.num_pending += 1
                    block_index += 1
                else:
                    task.item.outcomes[path] = result
            self._mark_done(call.stage, task)

    def on_batch_error(self, call: RemoteCall, error: RayError) -> None:
        """Record an error that the stage did not raise (a result that cannot be pickled). The worker is still alive."""
        if len(call.tasks) > 1:
            self._requeue(call)
            return
        (task,) = call.tasks
        outcome = failure_of_ray_error(error)
        if self._retry_policy.should_retry(outcome, task.num_failures):
            self._retry_later(call.stage, task)
        else:
            self._fail(call.stage, task, outcome)

    def on_worker_death(self, calls: Sequence[RemoteCall], exit_reason: ExitReason) -> None:
        """Requeue the tasks of a dead worker, each alone; fail a task that was alone in it, at the limit of deaths."""
        for call in calls:
            name, stats = self._stage_names[call.stage], self.stage_stats(call.stage)
            stats.peak_memory_bytes = max(stats.peak_memory_bytes, call.peak_bytes)
            logger.warning("A worker was lost at stage %s with %d tasks: %s", name, len(call.tasks), exit_reason.text)
        stats = self.stage_stats(calls[0].stage)
        stats.deaths[exit_reason.row_reason] = stats.deaths.get(exit_reason.row_reason, 0) + 1
        if len(calls) == len(calls[0].tasks) == 1:
            (call,) = calls
            (task,) = call.tasks
            task.exit_reasons.append(exit_reason)
            if is_death_limit_reached(task.exit_reasons, self._max_deaths):
                self._fail(call.stage, task, failure_after_deaths(task.exit_reasons))
                return
            task.is_quarantined = needs_quarantine(task.exit_reasons, self._max_deaths)
        for call in calls:
            for task in call.tasks:
                task.is_suspect = True
            if exit_reason.is_eviction:
                self._retry_queue.put(call.stage, call.tasks, EVICTION_DELAY_S)
            else:
                self._requeue(call)

    def _add_child_block(self, call: RemoteCall, report: BatchReport) -> TaskBlock:
        """The block of a batch's children, its bytes counted at the next stage."""
        children = [result for results in report.results for result in results if isinstance(result, ChildInfo)]
        nbytes = sum(max(child.nbytes, MIN_TASK_BYTES) for child in children)
        block = TaskBlock(call.children_ref, nbytes, len(children))
        if children:
            self.child_bytes[call.stage] = nbytes
            queue = self.queues[call.stage + 1]
            queue.add_block(block)
            self.stage_stats(call.stage + 1).peak_queue_bytes = queue.peak_bytes
        return block

    def _retry_later(self, stage: int, task: PendingTask) -> None:
        """Queue a task that failed for a transient reason for another try; each wait is longer than the last."""
        task.num_failures += 1
        self.stage_stats(stage).retries += 1
        self._retry_queue.put(stage, [task], self._retry_policy.backoff.wait_s(task.num_failures))

    def _requeue(self, call: RemoteCall) -> None:
        for task in call.tasks:
            self.queues[call.stage].requeue(task)

    def _fail(self, stage: int, task: PendingTask, outcome: Failed) -> None:
        task.item.outcomes[task.path] = outcome
        self._mark_done(stage, task)

    def _mark_done(self, stage: int, task: PendingTask) -> None:
        self.queues[stage].mark_done(task)
        task.item.num_pending -= 1
        if not task.item.num_pending:
            self._finished.append(task.item)
