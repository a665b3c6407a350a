"""The dispatcher: gives idle workers batches of the queued tasks, and lets them set up the stages that these need."""

import itertools
import pickle
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ray

from stages.errors import PhaseError
from stages.executors.candidates import Candidates
from stages.executors.cluster import Shape
from stages.executors.preparing import stage_key
from stages.executors.queues import PendingTask
from stages.executors.task_ledger import TaskLedger
from stages.executors.worker import StageAssignment
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_pool import WorkerPool
from stages.params import ExecutorParams
from stages.pipeline import Pipeline
from stages.resources import GIB
from stages.tasks import VideoTask

MIN_CALL_S = 0.05
CALL_COST_S = 0.0005
"""CPU time of the driver that a call takes, in Ray and around it."""
CALL_SHARE = 0.25
"""Share of the driver's time that calls may take: of many workers, or where a batch takes no time, each holds more."""
MAX_BATCHES_A_CALL = 16
QUEUE_SHARE = 0.5
"""Share of the object stores that queues may fill; the rest is for batches in work, and what they make."""


class Dispatcher:
    """Dispatches the tasks of one run of a pipeline.

    Attributes:
        run_id: id of the run, which its calls to workers carry.
        stage_keys: of each stage, see `stage_key`.
    """

    def __init__(
        self, pipeline: Pipeline, pool: WorkerPool, ledger: TaskLedger, params: ExecutorParams, shapes: list[Shape]
    ) -> None:
        self.run_id = uuid.uuid4().hex[:12]
        self._pool = pool
        self._ledger = ledger
        self._queues = ledger.queues
        self._stages = pipeline.stages
        self._is_streaming = params.mode == "streaming"
        self._shapes = shapes
        self.stage_keys = [stage_key(stage) for stage in pipeline.stages]
        self._assignments = _put_assignments(self.run_id, pipeline, self.stage_keys)
        self._closed_nodes: set[str] = set()
        self._queue_bytes = params.queue_memory_gb * GIB
        self._max_queue_bytes = 0.0

    def dispatch(self, open_group: str | None) -> None:
        """Give idle workers batches: the last stage's full ones first, then smaller ones if workers are still idle.

        Args:
            open_group: group of the last task that was read, of which more may follow; None once all were read.
        """
        self._closed_nodes = {worker.node_id for worker in self._pool.calls.in_quarantine()}
        all_queues = self._queue_bytes or QUEUE_SHARE * self._pool.object_store_bytes
        self._max_queue_bytes = all_queues / max(1, len(self._queues) - 1)
        has_suspects = any(task.is_suspect for queue in self._queues for task in queue.single_tasks)
        for may_grow in (partial(self._may_grow, open_group), _never_grows):
            for stage in self._stage_order():
                if self._queues[stage].select(partial(may_grow, stage)):
                    # A batch that might be fuller later is no reason to hold another one behind or beside it.
                    most = self._stages[stage].batches_in_flight if may_grow is not _never_grows else 1
                    candidates = self._candidates(stage, most, is_alone=has_suspects)
                    batches = self._share_of_each(stage, candidates, is_last=open_group is None)
                    while self._has_output_room(stage) and self._dispatch_batch(stage, may_grow, candidates, batches):
                        pass
        self._dispatch_quarantined()

    def count_ready_batches(self) -> list[int]:
        """Number of batches that could be dispatched now, by stage."""
        batches = [0] * len(self._queues)
        for stage in self._stage_order():
            may_start = self._has_output_room(stage) and not self._is_limit_reached(stage)
            batches[stage] = self._queues[stage].num_batches if may_start else 0
        if any(queue.quarantine for queue in self._queues) and (not self._pool.busy() or self._quiet_workers()):
            batches = [count + len(queue.quarantine) for count, queue in zip(batches, self._queues, strict=True)]
        return batches

    def batches_a_call(self, stage: int) -> int:
        """How many batches one call of a stage holds: of the last stage so many that calls cost the driver little."""
        stats, of_stage = self._ledger.stage_stats(stage), self._stages[stage]
        if stage + 1 < len(self._stages) or of_stage.waits_for_others or not stats.tasks:
            return 1
        batch_s = stats.busy_s / stats.tasks * of_stage.batch_size
        call_s = max(MIN_CALL_S, len(self._pool.workers) * CALL_COST_S / CALL_SHARE)
        return max(1, min(MAX_BATCHES_A_CALL, int(call_s / max(batch_s, 1e-6))))

    def _share_of_each(self, stage: int, candidates: Candidates, *, is_last: bool) -> int:
        """How many batches a worker gets at once, so that all get some; at the end of the run also those at work."""
        most = self.batches_a_call(stage)
        if most == 1:
            return 1
        num_workers = self._pool.calls.num_of_shape(self._shapes[stage]) if is_last else candidates.num_ready
        return min(most, -(-self._queues[stage].num_batches // max(1, num_workers)))

    def _stage_order(self) -> Sequence[int]:
        """Stages by priority: the last one first when streaming, else only the first that is not done."""
        stages = range(len(self._queues))
        if self._is_streaming:
            return stages[::-1]
        return [stage for stage in stages if not self._queues[stage].is_done][:1]

    def _may_grow(self, open_group: str | None, stage: int, group: str) -> bool:
        """Whether more tasks of a group may still reach a stage; of any group where the stage mixes them."""
        if self._stages[stage].mixes_groups:
            return open_group is not None or any(not queue.is_done for queue in self._queues[:stage])
        if group == open_group:
            return True
        return any(queue.has_pending(group) for queue in self._queues[:stage])

    def _has_output_room(self, stage: int) -> bool:
        """Whether the next queue has room for the children of one more batch; it may always hold one batch."""
        if not self._is_streaming or stage + 1 == len(self._queues):
            return True
        following, in_flight = self._queues[stage + 1], self._num_calls(CallKind.BATCH, stage)
        if not following.num_waiting and not in_flight:
            return True
        return following.held_bytes + self._ledger.child_bytes[stage] * (in_flight + 1) <= self._max_queue_bytes

    def _num_calls(self, kind: CallKind, stage: int) -> int:
        """Number of batches in work, or of set-ups under way, of a stage."""
        return self._pool.calls.num_calls(kind, self.run_id, stage)

    def _dispatch_batch(
        self, stage: int, may_grow: Callable[[int, str], bool], candidates: Candidates, batches: int
    ) -> bool:
        """Give a worker batches of a stage, or let one set the stage up; False if neither is possible.

        Args:
            stage: the stage's index.
            may_grow: whether a batch of a stage and a group is worth waiting for, since more tasks may join it.
            candidates: for batches of the stage.
            batches: largest number of them; one of a task that must be alone.
        """
        queue = self._queues[stage]
        tasks = queue.select(partial(may_grow, stage))
        if not tasks:
            return False
        worker = candidates.pop_ready()
        if worker is not None:
            taken = [queue.pop_batch(tasks)]
            while len(taken) < batches and not taken[0][0].is_suspect and not queue.single_tasks:
                following = queue.select(partial(may_grow, stage))
                if not following:
                    break
                taken.append(queue.pop_batch(following))
            self._submit_batches(worker, stage, taken)
            candidates.put_back(worker)
            return True
        worker = candidates.pop_other()
        return worker is not None and self._submit_setup(worker, stage, queue.num_batches)

    def _candidates(self, stage: int, batches_in_flight: int, *, is_alone: bool) -> Candidates:
        """The workers that can take a batch of a stage.

        Args:
            stage: the stage's index.
            batches_in_flight: largest number of batches of the stage in one worker.
            is_alone: no worker gets a second batch, so that one becomes free for a task that must be alone in it.
        """
        waits = self._stages[stage].waits_for_others

        def has_room(worker: WorkerHandle) -> bool:
            if is_alone and worker.calls:
                return False
            return worker.has_room_for(stage, batches_in_flight, waits=waits)

        shape, calls = self._shapes[stage], self._pool.calls
        # Beside calls that wait for others there may be any number of calls in a worker; few workers have such a stage.
        workers = self._pool.workers if waits else calls.loaded_below(batches_in_flight)
        open_workers = (each for each in workers if each.shape == shape and each.node_id not in self._closed_nodes)
        key = self.stage_keys[stage]
        return Candidates(
            open_workers,
            has_room,
            is_ready=lambda worker: worker.is_ready(self.run_id, stage),
            is_prepared=lambda worker: key in worker.prepared,
        )

    def _is_limit_reached(self, stage: int) -> bool:
        """Whether the stage is set up, or being set up, in as many workers as it may be."""
        most = self._stages[stage].max_workers
        if not most:
            return False
        num_ready = sum(worker.is_ready(self.run_id, stage) for worker in self._pool.workers)
        return num_ready + self._num_calls(CallKind.SET_UP, stage) >= most

    def _submit_setup(self, worker: WorkerHandle, stage: int, max_setups: int) -> bool:
        under_way = self._num_calls(CallKind.SET_UP, stage) + self._pool.num_preparing(self.stage_keys[stage])
        if under_way >= max_setups or self._is_limit_reached(stage):
            return False
        result = worker.actor.set_up.remote(self._assignments[stage])
        self._pool.begin_call(worker, RemoteCall(CallKind.SET_UP, result, run_id=self.run_id, stage=stage))
        return True

    def _quiet_workers(self) -> list[WorkerHandle]:
        """Idle workers of nodes on which no worker holds a batch."""
        busy = {worker.node_id for worker in self._pool.busy()}
        return [worker for worker in self._pool.idle() if worker.node_id not in busy and not worker.is_draining]

    def _dispatch_quarantined(self) -> None:
        """Let one task run while nothing else does on its node, whose memory it may exhaust."""
        for stage, queue in enumerate(self._queues):
            for worker in self._quiet_workers() if queue.quarantine else []:
                if queue.quarantine and worker.shape == self._shapes[stage]:
                    if worker.is_ready(self.run_id, stage):
                        self._submit_batches(worker, stage, [[queue.quarantine.popleft()]])
                    else:
                        self._submit_setup(worker, stage, 1)
                    return

    def _submit_batches(self, worker: WorkerHandle, stage: int, batches: list[list[PendingTask]]) -> None:
        tasks = [task for batch in batches for task in batch]
        waits = self._stages[stage].waits_for_others
        method = ("finish" if stage + 1 == len(self._stages) else "process") + ("_waiting" if waits else "")
        refs = getattr(worker.actor, method).remote(stage, *task_arguments(batches))
        result, children = (refs, None) if stage + 1 == len(self._stages) else refs
        call = RemoteCall(CallKind.BATCH, result, run_id=self.run_id, stage=stage, tasks=tasks, waits=waits)
        call.children_ref = children
        self._pool.begin_call(worker, call)


def task_arguments(batches: list[list[PendingTask]]) -> list[Any]:
    """The indexes of tasks in blocks, batch by batch, and the blocks: tasks from the driver in one, pickled at once.

    Tasks about videos are pickled here. Ray's own pickler, which takes what a user's `__main__` defines too, asks
    Python about each object: twice the time.
    """
    tasks = [task for batch in batches for task in batch]
    given = [task.block.tasks[task.index] for task in tasks if isinstance(task.block.tasks, list)]
    stored = {task.block: None for task in tasks if not isinstance(task.block.tasks, list)}
    places = {block: place for place, block in enumerate(stored, start=bool(given))}
    next_given = itertools.count()
    indexes = [
        [(places[task.block], task.index) if task.block in places else (0, next(next_given)) for task in batch]
        for batch in batches
    ]
    packed = pickle.dumps(given, pickle.HIGHEST_PROTOCOL) if {type(task) for task in given} == {VideoTask} else given
    return [indexes, *([packed] if given else []), *(block.tasks for block in stored)]


def _put_assignments(run_id: str, pipeline: Pipeline, keys: Sequence[str]) -> "list[ray.ObjectRef[StageAssignment]]":
    """The stages in the object store, where every worker can fetch them once."""
    assignments: list[ray.ObjectRef[StageAssignment]] = []
    last = len(pipeline.stages) - 1
    for index, (stage, key) in enumerate(zip(pipeline.stages, keys, strict=True)):
        try:
            collect = pipeline.collect if index == last else None
            assignments.append(ray.put(StageAssignment(run_id, index, stage, collect, key, frozenset(keys))))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise PhaseError(
                f"Stage {stage.name} must be picklable to reach a worker, got {type(error).__name__}: {error}. "
                "Make in setup() what cannot travel."
            ) from error
    return assignments


def _never_grows(stage: int, group: str) -> bool:
    return False
