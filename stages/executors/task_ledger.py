"""The task ledger: queues, retries, outcomes and statistics of all tasks of one run."""

import logging
from collections.abc import Callable, Sequence

from ray.exceptions import RayError

from stages.executors.batch_runner import RetryPolicy
from stages.executors.exit_reasons import (
    ExitReason,
    cause_text,
    failure_after_deaths,
    failure_of_ray_error,
    is_death_limit_reached,
    is_machine_fault,
    is_object_lost,
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
MAX_RESTARTS = 10
"""How often an item begins again in one run since what was made of it is lost; above, the cluster falls apart."""


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
        self._begin(Item(task.task_id, task))

    def pop_finished(self) -> list[Item]:
        """Items whose last outcome arrived since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def requeue_due(self) -> None:
        """Queue the tasks again whose next try is due."""
        for stage, task in self._retry_queue.pop_due():
            self.queues[stage].requeue(task)

    def on_batch_done(self, call: RemoteCall, report: BatchReport, *, elsewhere: Callable[[], bool]) -> None:
        """Record the results of a batch, and queue its children for the next stage.

        Args:
            call: the call that ended.
            report: what it returned.
            elsewhere: see `RetryPolicy.should_retry`.
        """
        stats = self.stage_stats(call.stage)
        stats.add_batch(len(call.tasks), report.seconds, report.counters, longest_s=report.longest_s)
        stats.peak_memory_bytes = max(stats.peak_memory_bytes, call.peak_bytes, report.memory_bytes)
        block = self._add_child_block(call, report)
        block_index = 0
        for task, results in zip(call.tasks, report.results, strict=True):
            if task.item.is_abandoned:
                block_index += self._drop_children(call.stage, block, results)
                self.queues[call.stage].mark_done(task)
                continue
            if any(self._retry_policy.should_retry(each, task.num_failures, elsewhere=elsewhere) for each in results):
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
        if is_object_lost(error):
            self._restart_items(call, error)
            return
        if len(call.tasks) > 1 and not is_machine_fault(error):
            self._requeue(call)
            return
        outcome = failure_of_ray_error(error)
        for task in call.tasks:
            if task.item.is_abandoned:
                self.queues[call.stage].mark_done(task)
            elif self._retry_policy.should_retry(outcome, task.num_failures):
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
        if len(calls) == len(calls[0].tasks) == 1 and not calls[0].tasks[0].item.is_abandoned:
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
                self._retry_queue.put(call.stage, self._drop_abandoned(call), EVICTION_DELAY_S)
            else:
                self._requeue(call)

    def _begin(self, item: Item) -> None:
        """Queue the task of an item for the first stage."""
        self.queues[0].push(PendingTask(item, (), TaskBlock([item.source], 0, 1), 0, item.source.group))

    def _restart_items(self, call: RemoteCall, error: RayError) -> None:
        """Let the items of a call begin again from the tasks that were given: what was made of them is lost."""
        logger.warning(
            "Stage %s lost the input of %d tasks with a machine; their items begin again (%s)",
            self._stage_names[call.stage],
            len(call.tasks),
            cause_text(error).partition(":")[0],
        )
        for item in dict.fromkeys(task.item for task in call.tasks if not task.item.is_abandoned):
            for queue in self.queues:
                for task in queue.remove(item):
                    queue.mark_done(task)
            for stage, task in self._retry_queue.remove(item):
                self.queues[stage].mark_done(task)
            item.is_abandoned = True
            again = Item(item.task_id, item.source, num_restarts=item.num_restarts + 1)
            if again.num_restarts <= MAX_RESTARTS:
                self.stage_stats(call.stage).retries += 1
                self._begin(again)
            else:
                again.outcomes[()] = failure_of_ray_error(error)
                self._finished.append(again)
        for task in call.tasks:
            self.queues[call.stage].mark_done(task)

    def _drop_children(self, stage: int, block: TaskBlock, results: Sequence[object]) -> int:
        """Let go of the children of an abandoned task, which are not queued; returns their number."""
        children = sum(isinstance(result, ChildInfo) for result in results)
        for _ in range(children):
            self.queues[stage + 1].release_block(block)
        return children

    def _drop_abandoned(self, call: RemoteCall) -> list[PendingTask]:
        """The tasks of a call whose items go on; the others are let go of."""
        for task in call.tasks:
            if task.item.is_abandoned:
                self.queues[call.stage].mark_done(task)
        return [task for task in call.tasks if not task.item.is_abandoned]

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
        for task in self._drop_abandoned(call):
            self.queues[call.stage].requeue(task)

    def _fail(self, stage: int, task: PendingTask, outcome: Failed) -> None:
        task.item.outcomes[task.path] = outcome
        self._mark_done(stage, task)

    def _mark_done(self, stage: int, task: PendingTask) -> None:
        self.queues[stage].mark_done(task)
        task.item.num_pending -= 1
        if not task.item.num_pending:
            self._finished.append(task.item)
