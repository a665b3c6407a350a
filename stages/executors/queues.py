"""Tasks between stages: items, the pending tasks made from them, a queue for each stage, and the retry queue."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import ray

from stages.executors.exit_reasons import ExitReason
from stages.executors.worker import Outcome
from stages.pipeline import ItemResult
from stages.tasks import Task

MIN_TASK_BYTES = 100_000
"""Smallest size that is counted for a queued task, so that queues of tasks without frames are bounded too."""


@dataclass(eq=False, slots=True)
class Item:
    """One task given to the executor, with the outcomes of all tasks made from it.

    Attributes:
        task_id: id of the given task.
        source: the given task.
        num_pending: tasks made from it that have no outcome yet.
        num_restarts: how often it began again from the given task, since an object of it was lost with a machine.
        is_abandoned: true if it began again as another `Item`; what its tasks still return is dropped.
        outcomes: by path, the child indexes from the item down; sorting gives the order that stages returned.
    """

    task_id: str
    source: Task
    num_pending: int = 1
    num_restarts: int = 0
    is_abandoned: bool = False
    outcomes: dict[tuple[int, ...], Outcome] = field(default_factory=lambda: {})

    def result(self) -> ItemResult:
        """All outcomes by path, independent of the order in which workers finished."""
        return ItemResult(self.task_id, tuple(self.outcomes[path] for path in sorted(self.outcomes)))


@dataclass(eq=False, slots=True)
class TaskBlock:
    """The children of one batch: one object in Ray's object store, released when the last of them is done.

    Attributes:
        tasks: reference to the object, or the tasks themselves if they come from the driver.
        nbytes: size of the object.
        num_pending: tasks of the block that are not done.
    """

    tasks: "ray.ObjectRef[list[Task]] | list[Task] | None"
    nbytes: int
    num_pending: int


@dataclass(eq=False, slots=True)
class PendingTask:
    """One task that is queued for a stage, or runs in it.

    Attributes:
        item: the item that it was made from.
        path: child indexes from the item down.
        block: block that holds the task.
        index: index of the task in the block.
        group: group of the task.
        exit_reasons: exit reasons of the workers that died while they held this task alone.
        num_failures: number of failures for transient reasons.
        is_suspect: true if a worker died while it held this task; it may only run in a worker that holds nothing else.
        is_quarantined: true if it may only run while no other task does.
    """

    item: Item
    path: tuple[int, ...]
    block: TaskBlock
    index: int
    group: str
    exit_reasons: list[ExitReason] = field(default_factory=lambda: [])
    num_failures: int = 0
    is_suspect: bool = False
    is_quarantined: bool = False


class StageQueue:
    """Tasks queued for one stage.

    Requeued tasks are kept apart: `single_tasks` each run in a batch of their own, tasks of the `quarantine` only while
    nothing else runs.

    Attributes:
        held_bytes: size of the tasks that are queued or run.
        peak_bytes: largest `held_bytes` so far.
        num_waiting: tasks queued, without the quarantine.
    """

    def __init__(self, batch_size: int, *, mixes_groups: bool = False) -> None:
        self.batch_size = batch_size
        self.mixes_groups = mixes_groups
        self.held_bytes = self.peak_bytes = self.num_waiting = 0
        self.single_tasks: deque[PendingTask] = deque()
        self.quarantine: deque[PendingTask] = deque()
        self._groups: dict[str, deque[PendingTask]] = {}
        self._num_batches = 0
        self._num_pending: Counter[str] = Counter()

    def add_block(self, block: TaskBlock) -> None:
        """Count the bytes of a block whose tasks are pushed next."""
        self.held_bytes += block.nbytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def push(self, task: PendingTask) -> None:
        """Queue a new task."""
        group = self._groups.setdefault(self._batch_group(task), deque())
        self._num_batches += len(group) % self.batch_size == 0
        group.append(task)
        self._num_pending[task.group] += 1
        self.num_waiting += 1

    def _batch_group(self, task: PendingTask) -> str:
        return "" if self.mixes_groups else task.group

    def requeue(self, task: PendingTask) -> None:
        """Queue again a task that was dispatched and got no outcome."""
        if task.is_quarantined:
            self.quarantine.append(task)
        else:
            self.single_tasks.append(task)
            self.num_waiting += 1

    def mark_done(self, task: PendingTask) -> None:
        """Remove a task that is done with this stage; release its block with the block's last task."""
        self._num_pending[task.group] -= 1
        if not self._num_pending[task.group]:
            del self._num_pending[task.group]
        self.release_block(task.block)

    def release_block(self, block: TaskBlock) -> None:
        """Note that one task of a block is done, or is never queued; release the block with the last of them."""
        block.num_pending -= 1
        if not block.num_pending:
            self.held_bytes -= block.nbytes
            block.tasks = None

    def remove(self, item: Item) -> list[PendingTask]:
        """Remove the queued tasks of an item, and return them; they still have to be marked done."""
        removed: list[PendingTask] = []
        for name, tasks in [*self._groups.items(), (None, self.single_tasks), (None, self.quarantine)]:
            found = [task for task in tasks if task.item is item]
            if not found:
                continue
            kept = [task for task in tasks if task.item is not item]
            tasks.clear()
            tasks.extend(kept)
            if tasks is not self.quarantine:
                self.num_waiting -= len(found)
            if name is not None:
                self._num_batches -= self._batches_of(len(kept) + len(found)) - self._batches_of(len(kept))
            if name is not None and not tasks:
                del self._groups[name]
            removed += found
        return removed

    def has_pending(self, group: str) -> bool:
        """Whether a task of this group is queued or runs."""
        return group in self._num_pending

    @property
    def is_done(self) -> bool:
        """Whether no task is queued or runs."""
        return not self._num_pending

    @property
    def num_batches(self) -> int:
        """Number of batches that the queued tasks form."""
        return self._num_batches + len(self.single_tasks)

    def _batches_of(self, num_tasks: int) -> int:
        return -(-num_tasks // self.batch_size)

    def select(self, may_grow: Callable[[str], bool]) -> deque[PendingTask] | None:
        """Select the tasks of the next batch: single tasks first, then a group that fills one or will not grow."""
        if self.single_tasks:
            return self.single_tasks
        for group, tasks in self._groups.items():
            if len(tasks) >= self.batch_size or not may_grow(group):
                return tasks
        return None

    def pop_batch(self, tasks: deque[PendingTask]) -> list[PendingTask]:
        """Remove the next batch from the deque that `select` returned."""
        size = 1 if tasks is self.single_tasks else min(self.batch_size, len(tasks))
        batch = [tasks.popleft() for _ in range(size)]
        if tasks is not self.single_tasks:
            self._num_batches -= 1  # a batch is full, or the last of its group
            if not tasks:
                del self._groups[self._batch_group(batch[0])]
        self.num_waiting -= size
        return batch


class RetryQueue:
    """Tasks that wait for the time of their next try."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, PendingTask]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, stage: int, tasks: Iterable[PendingTask], delay_s: float) -> None:
        """Queue tasks of a stage for a try after the delay."""
        due = time.monotonic() + delay_s
        self._waiting.extend((due, stage, task) for task in tasks)

    def remove(self, item: Item) -> list[tuple[int, PendingTask]]:
        """Remove the tasks of an item, and return them with their stage."""
        removed = [(stage, task) for _, stage, task in self._waiting if task.item is item]
        self._waiting = [entry for entry in self._waiting if entry[2].item is not item]
        return removed

    def pop_due(self) -> list[tuple[int, PendingTask]]:
        """Remove the tasks that are due, and return them with their stage."""
        now = time.monotonic()
        ready = [(stage, task) for due, stage, task in self._waiting if due <= now]
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        return ready
