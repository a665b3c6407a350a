"""The dispatcher: gives idle workers batches of the queued tasks, and lets them set up the stages that these need."""

import pickle
import uuid
from collections.abc import Callable, Sequence
from functools import partial

import ray

from stages.errors import PhaseError
from stages.executors.cluster import Shape
from stages.executors.queues import PendingTask
from stages.executors.task_ledger import TaskLedger
from stages.executors.worker import StageAssignment
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from stages.pipeline import Pipeline
from stages.resources import GIB


class Dispatcher:
    """Dispatches the tasks of one run of a pipeline.

    Attributes:
        run_id: id of the run, which its calls to workers carry.
    """

    def __init__(
        self, pipeline: Pipeline, pool: WorkerPool, ledger: TaskLedger, params: ExecutorParams, shapes: list[Shape]
    ) -> None:
        self.run_id = uuid.uuid4().hex[:12]
        self._pool = pool
        self._ledger = ledger
        self._queues = ledger.queues
        self._is_streaming = params.mode == "streaming"
        self._shapes = shapes
        self._assignments = _put_assignments(self.run_id, pipeline)
        self._max_queue_bytes = params.queue_memory_gb * GIB / max(1, len(shapes) - 1)

    def dispatch(self, open_group: str | None) -> None:
        """Give idle workers batches: the last stage's full ones first, then smaller ones if workers are still idle.

        Args:
            open_group: group of the last task that was read, of which more may follow; None once all were read.
        """
        running = [task for worker in self._pool.busy() if worker.call for task in worker.call.tasks]
        if any(task.is_quarantined for task in running):
            return
        for may_grow in (partial(self._may_grow, open_group), _never_grows):
            for stage in self._stage_order():
                while self._has_output_room(stage) and self._dispatch_batch(stage, may_grow):
                    pass
        if not self._pool.busy():
            self._dispatch_quarantined()

    def count_ready_batches(self) -> list[int]:
        """Number of batches that could be dispatched now, by stage."""
        batches = [0] * len(self._queues)
        for stage in self._stage_order():
            batches[stage] = self._queues[stage].num_batches if self._has_output_room(stage) else 0
        if not self._pool.busy():
            batches = [count + len(queue.quarantine) for count, queue in zip(batches, self._queues, strict=True)]
        return batches

    def _stage_order(self) -> Sequence[int]:
        """Stages by priority: the last one first when streaming, else only the first that is not done."""
        stages = range(len(self._queues))
        if self._is_streaming:
            return stages[::-1]
        return [stage for stage in stages if not self._queues[stage].is_done][:1]

    def _may_grow(self, open_group: str | None, stage: int, group: str) -> bool:
        """Whether more tasks of a group may still reach a stage."""
        if group == open_group:
            return True
        return any(queue.has_pending(group) for queue in self._queues[:stage])

    def _has_output_room(self, stage: int) -> bool:
        """Whether the next queue has room for the children of one more batch; it may always hold one batch."""
        if not self._is_streaming or stage + 1 == len(self._queues):
            return True
        following = self._queues[stage + 1]
        in_flight = sum(worker.call is not None and worker.call.stage == stage for worker in self._pool.busy())
        if not following.num_waiting and not in_flight:
            return True
        return following.held_bytes + self._ledger.child_bytes[stage] * (in_flight + 1) <= self._max_queue_bytes

    def _dispatch_batch(self, stage: int, may_grow: Callable[[int, str], bool]) -> bool:
        """Give a worker one batch of a stage, or let one set the stage up; False if neither is possible."""
        queue = self._queues[stage]
        tasks = queue.select(lambda group: may_grow(stage, group))
        idle = [worker for worker in self._pool.idle() if worker.shape == self._shapes[stage]]
        if not tasks or not idle:
            return False
        for worker in idle:
            if worker.is_ready(self.run_id, stage):
                self._submit_batch(worker, stage, queue.pop_batch(tasks))
                return True
        return self._submit_setup(idle[0], stage, queue.num_batches)

    def _submit_setup(self, worker: WorkerHandle, stage: int, max_setups: int) -> bool:
        calls = [worker.call for worker in self._pool.workers if worker.is_in(CallKind.SET_UP)]
        if sum(call is not None and call.stage == stage and call.run_id == self.run_id for call in calls) >= max_setups:
            return False
        result = worker.actor.set_up.remote(self._assignments[stage])
        self._pool.begin_call(worker, RemoteCall(CallKind.SET_UP, result, run_id=self.run_id, stage=stage))
        return True

    def _dispatch_quarantined(self) -> None:
        for stage, queue in enumerate(self._queues):
            for worker in self._pool.idle():
                if queue.quarantine and worker.shape == self._shapes[stage]:
                    if worker.is_ready(self.run_id, stage):
                        self._submit_batch(worker, stage, [queue.quarantine.popleft()])
                    else:
                        self._submit_setup(worker, stage, 1)
                    return

    def _submit_batch(self, worker: WorkerHandle, stage: int, tasks: list[PendingTask]) -> None:
        blocks = list(dict.fromkeys(task.block for task in tasks))
        indexes = [(blocks.index(task.block), task.index) for task in tasks]
        result, children = worker.actor.process.remote(stage, indexes, *(block.tasks for block in blocks))
        self._pool.begin_call(
            worker,
            RemoteCall(CallKind.BATCH, result, run_id=self.run_id, stage=stage, tasks=tasks, children_ref=children),
        )


def _put_assignments(run_id: str, pipeline: Pipeline) -> "list[ray.ObjectRef[StageAssignment]]":
    """The stages in the object store, where every worker can fetch them once."""
    assignments: list[ray.ObjectRef[StageAssignment]] = []
    last = len(pipeline.stages) - 1
    for index, stage in enumerate(pipeline.stages):
        try:
            collect = pipeline.collect if index == last else None
            assignments.append(ray.put(StageAssignment(run_id, index, stage, collect)))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise PhaseError(
                f"Stage {stage.name} must be picklable to reach a worker, got {type(error).__name__}: {error}. "
                "Make in setup() what cannot travel."
            ) from error
    return assignments


def _never_grows(stage: int, group: str) -> bool:
    return False
