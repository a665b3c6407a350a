"""The scheduler: one run of a pipeline on a worker pool.

Every turn of its loop reads tasks from the source, lets the dispatcher give batches to idle workers, and waits for
results. Five times a second it ends workers beyond a limit of time or memory, and scales the pool. The task ledger
decides what a result or the death of a worker means for the tasks.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator

import ray
from ray.exceptions import RayError

from stages.errors import Reason
from stages.executors.cluster import Shape
from stages.executors.cluster_status import ClusterStatus
from stages.executors.dispatcher import Dispatcher
from stages.executors.exit_reasons import ExitReason, cause_text, exit_reason_of
from stages.executors.metrics import PipelineMetrics
from stages.executors.preparing import Preparation
from stages.executors.scaling import WorkerScaler
from stages.executors.task_ledger import TaskLedger
from stages.executors.worker_failures import WorkerFailures
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from stages.pipeline import ItemResult, Load, Pipeline, QueueLoad, RunStats
from stages.tasks import Failed, Task

TURN_S = 0.2
MAX_SILENCE_S = 0.4
"""Longest wait for a result before the caller is given None."""
MAX_TOLD_EACH_TURN = 500
"""Workers up to which progress inside of batches is brought up to date in each turn; of more, when it is published."""
MAX_BATCHES_AHEAD = 1024
"""Most batches that are read beyond those that workers have room for."""
MAX_WAITING_RETRIES = 1000
"""No new tasks are read while so many are in the retry queue: all tasks end there while a store does not answer."""


class Scheduler:
    """One run of a pipeline, from the first task to the last result."""

    def __init__(
        self,
        pipeline: Pipeline,
        pool: WorkerPool,
        params: ExecutorParams,
        shapes: list[Shape],
        preparation: Preparation | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._pool = pool
        self._ledger = TaskLedger(pipeline, params)
        self._dispatcher = Dispatcher(pipeline, pool, self._ledger, params, shapes)
        self._run_id = self._dispatcher.run_id
        self._metrics = PipelineMetrics(pipeline.name)
        self._status = ClusterStatus(self._run_id)
        self._scaler = WorkerScaler(pool, shapes)
        names = [stage.name for stage in pipeline.stages]
        self._failures = WorkerFailures(pool, self._scaler, self._run_id, shapes, names)
        self._preparation = preparation
        self._maintained_at = 0.0
        self._queues = self._ledger.queues
        self._is_source_exhausted = False
        self._last_group = ""

    def results(self, tasks: Iterable[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Yield the result of each task as it is finished, and None after `MAX_SILENCE_S` without one.

        Raises:
            PhaseError: a stage cannot be set up.
            PoolError: workers cannot be started.
        """
        self._ledger.stats = stats
        source = iter(tasks)
        yielded_at = time.monotonic()
        while True:
            self._read_tasks(source)
            if self._is_source_exhausted and self._ledger.is_done:
                return
            self._pool.check_health()
            self._dispatcher.dispatch(None if self._is_source_exhausted else self._last_group)
            if self._pool.calls.has(CallKind.BATCH):
                stats.begin_work()
            self._maintain_pool()
            for worker, call in self._pool.wait_for_calls(TURN_S):
                if call in worker.calls:  # else it ended with its worker, of which another call told
                    self._on_call_ended(worker, call)
            self._pool.shut_down_drained()
            finished = self._ledger.pop_finished()
            if len(self._pool.workers) <= MAX_TOLD_EACH_TURN:
                stats.running = self._pool.running_batches()
            for item in finished:
                result = item.result()
                stats.failures.update(str(each.reason) for each in result.outcomes if isinstance(each, Failed))
                yield result
            if finished:
                yielded_at = time.monotonic()
            elif time.monotonic() - yielded_at > MAX_SILENCE_S - TURN_S:
                yield None
                yielded_at = time.monotonic()

    def stop(self) -> None:
        """End the workers that still hold a batch; the others stay for the next run."""
        for worker in self._pool.busy():
            self._pool.kill(worker)
        for worker in self._pool.idle():
            self._pool.count_idle_time(worker)
        self._pool.request.withdraw()
        self._publish_metrics()
        self._ledger.stats.load = Load(dict.fromkeys(self._ledger.stats.load.queues, QueueLoad(0, 0)))
        self._metrics.publish(self._ledger.stats)
        self._status.remove()

    def _publish_metrics(self) -> None:
        """Bring the statistics up to date, and publish them as metrics of Ray."""
        for stage in range(len(self._queues)):
            self._ledger.stage_stats(stage).idle_s = self._pool.idle_s[self._run_id, stage]
        stats = self._ledger.stats
        queues = {
            self._stage_name(stage): QueueLoad(queue.num_waiting + len(queue.quarantine), queue.held_bytes)
            for stage, queue in enumerate(self._queues)
        }
        names = [stage.name for stage in self._pipeline.stages]
        stats.load = Load(queues, self._pool.count_workers(self._run_id, names), self._pool.health.left_out())
        self._metrics.publish(stats)
        self._status.tell(stats.status)
        stats.running = self._pool.running_batches()

    def _read_tasks(self, source: Iterator[Task]) -> None:
        """Keep enough tasks queued for the first stage that no worker waits for the source."""
        queue = self._queues[0]
        most = self._pool.max_workers * self._pipeline.stages[0].batches_in_flight
        free = most - self._pool.calls.num_calls(CallKind.BATCH, self._run_id, 0)
        calls = min(most, max(0, free) + MAX_BATCHES_AHEAD) + 1
        wanted = calls * self._dispatcher.batches_a_call(0) * queue.batch_size
        until = time.monotonic() + TURN_S
        while (
            not self._is_source_exhausted
            and queue.num_waiting < wanted
            and self._ledger.num_waiting_retries < MAX_WAITING_RETRIES
            and time.monotonic() < until
        ):
            task = next(source, None)
            if task is None:
                self._is_source_exhausted = True
                return
            self._last_group = task.group
            self._ledger.add(task)

    def _maintain_pool(self) -> None:
        """End workers beyond a limit, requeue retries that are due, and scale the pool; at most once in `TURN_S`."""
        if time.monotonic() - self._maintained_at < TURN_S:
            return
        self._maintained_at = time.monotonic()
        for worker, exit_reason in self._pool.exceeding_limits():
            self._on_worker_death(worker, exit_reason)
        self._pool.remove_dead_idle()
        self._pool.leave_nodes()
        self._ledger.stats.left_out_nodes = dict(self._pool.health.told)
        if self._metrics.is_due(len(self._pool.workers)):
            self._publish_metrics()
        self._ledger.requeue_due()
        ready = self._dispatcher.count_ready_batches()
        self._scaler.scale(ready)
        if self._preparation is not None and self._is_source_exhausted and not any(ready):
            self._preparation.use(self._pool.idle())

    def _on_call_ended(self, worker: WorkerHandle, call: RemoteCall) -> None:
        """Read the result of a worker's call."""
        try:
            result = ray.get(call.result_ref)
        except RayError as error:
            self._on_call_error(worker, call, error)
            return
        self._pool.end_call(worker, call)
        if call.kind is CallKind.START:
            self._failures.on_started()
            self._pool.on_worker_started(worker, result)
        elif call.kind is CallKind.SHUT_DOWN:
            self._pool.kill(worker)
        elif call.prepares:
            worker.prepared.add(call.prepares)
        elif call.run_id == self._run_id and call.kind is CallKind.SET_UP:
            self._failures.on_set_up(call.stage)
            worker.mark_ready(call.run_id, call.stage)
            worker.prepared.discard(self._dispatcher.stage_keys[call.stage])
        elif call.run_id == self._run_id:
            self._failures.on_batch_done(worker, result)
            self._ledger.on_batch_done(call, result, elsewhere=lambda: len(self._pool.node_ids(worker.shape)) > 1)

    def _on_call_error(self, worker: WorkerHandle, call: RemoteCall, error: RayError) -> None:
        exit_reason = exit_reason_of(error, self._pool.crash_text(worker))
        if exit_reason is not None or call.kind in (CallKind.START, CallKind.SHUT_DOWN):
            self._on_worker_death(worker, exit_reason or ExitReason(Reason.WORKER_DIED, cause_text(error)))
            return
        _read_children_error(call)
        self._pool.end_call(worker, call)
        if call.kind is CallKind.SET_UP:
            self._pool.kill(worker)  # what a set-up that failed left in the process is not known
            if call.prepares:
                self._preparation = None  # its own phase tells why; one worker is enough to lose
            if call.run_id == self._run_id:
                self._failures.on_set_up_failed(call.stage, worker, cause_text(error), error)
        elif call.run_id == self._run_id:
            self._ledger.on_batch_error(call, error)

    def _on_worker_death(self, worker: WorkerHandle, exit_reason: ExitReason) -> None:
        """Remove a worker, and decide what its death means for its calls."""
        calls = self._pool.kill(worker)
        if any(call.prepares for call in calls):
            self._preparation = None
        batches = [call for call in calls if call.kind is CallKind.BATCH and call.run_id == self._run_id]
        for call in batches:
            _read_children_error(call)
        if batches:
            self._failures.on_batch_death(worker, exit_reason)
            self._ledger.on_worker_death(batches, exit_reason)
        for call in calls:
            if call.kind is CallKind.START:
                self._failures.on_start_failed(worker, exit_reason)
            elif call.kind is CallKind.SET_UP and call.run_id == self._run_id and not exit_reason.is_machine_lost:
                self._failures.on_set_up_failed(call.stage, worker, exit_reason.text, None)

    def _stage_name(self, stage: int) -> str:
        return self._pipeline.stages[stage].name


def _read_children_error(call: RemoteCall) -> None:
    """Read the error of a call's second value: it is that of the first, and Ray logs it unless somebody reads it."""
    if call.children_ref is not None:
        with contextlib.suppress(RayError):
            ray.get(call.children_ref, timeout=0)
