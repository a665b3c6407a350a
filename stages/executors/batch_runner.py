"""Runs one stage on one batch; the local executor and the worker actors share this code."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from stages import heartbeat
from stages.errors import DeviceLost, StageError, StorageError, is_device_lost
from stages.failures import failure_of
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, Collect, Rows
from stages.retry import Backoff
from stages.stage import NodeInfo, WorkerMetadata
from stages.tasks import Failed, Rejected, Task

_FULL_DISK = re.compile(r"\[Errno 28\]|No space left on device")
StageResult = list[Task] | Rejected | Failed
"""Result of one task: its children (one, for a plain stage), or its outcome if it goes no further."""


@dataclass(frozen=True)
class BatchResult:
    """The results of one batch.

    Attributes:
        results: one per task, in the order of the tasks.
        seconds: time inside the stage.
        counters: counters of the stage for this batch.
    """

    results: list[StageResult]
    seconds: float
    counters: dict[str, float]


@dataclass(frozen=True)
class RetryPolicy:
    """Decides which failed tasks are retried in the same run, and after how long.

    Attributes:
        transient: reasons of failures that are retried.
        backoff: number of tries, and the waits between them.
    """

    transient: frozenset[str]
    backoff: Backoff

    @classmethod
    def from_params(cls, params: ExecutorParams) -> "RetryPolicy":
        """The policy that the parameters describe."""
        return cls(frozenset(params.transient), params.backoff)

    def should_retry(
        self, outcome: object, num_failures: int, *, elsewhere: Callable[[], bool] = lambda: False
    ) -> bool:
        """True if a task with this outcome is retried after `num_failures` earlier failures.

        Args:
            outcome: of the task.
            num_failures: before this one.
            elsewhere: whether there are other nodes, of which a disk that is full here says nothing.
        """
        if not isinstance(outcome, Failed) or (outcome.is_lasting and not (is_disk_full(outcome) and elsewhere())):
            return False
        return outcome.reason in self.transient and num_failures + 1 < self.backoff.tries


def is_disk_full(outcome: object) -> bool:
    """Whether a task failed since a disk had no space left, for which its machine is to blame."""
    return isinstance(outcome, Failed) and _FULL_DISK.search(outcome.error) is not None


def set_up(stage: AnyStage, worker: WorkerMetadata, node: NodeInfo) -> None:
    """Make a stage ready to process in this worker."""
    stage.setup_on_node(node, worker)
    stage.setup(worker)


def run_batch(stage: AnyStage, tasks: list[Task]) -> BatchResult:
    """Run a stage on a batch; if the batch as a whole raises, run each task alone.

    Every exception is caught, here and nowhere else: it becomes the failed row of the task that raised it.
    """
    started = time.perf_counter()
    heartbeat.beat()
    if stage.waits_for_others:
        with heartbeat.separate_counts() as counters:
            results = _results(stage, tasks)
    else:
        heartbeat.take_counts()
        results = _results(stage, tasks)
        counters = heartbeat.take_counts()
    heartbeat.beat()
    return BatchResult(results, time.perf_counter() - started, dict(counters))


def _results(stage: AnyStage, tasks: list[Task]) -> list[StageResult]:
    try:
        return [_checked(stage, value) for value in _process_batch(stage, tasks)]
    except MemoryError:
        raise
    except StorageError as error:  # already retried, and would be retried again for each task
        return [failure_of(error)] * len(tasks)
    except Exception as error:  # noqa: BLE001 - each task is run again alone, where its error becomes a row
        _raise_if_device_lost(error)
        return [_run_alone(stage, task) for task in tasks]


def _process_batch(stage: AnyStage, tasks: list[Task]) -> Sequence[object]:
    values = stage.process_batch(tasks)
    if len(values) != len(tasks):
        raise StageError(f"Stage {stage.name} must return one result per task, got {len(values)} for {len(tasks)}.")
    return values


def _run_alone(stage: AnyStage, task: Task) -> StageResult:
    try:
        return _checked(stage, _process_batch(stage, [task])[0])
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the worker is where exceptions become failed rows
        _raise_if_device_lost(error)
        return failure_of(error)


def _raise_if_device_lost(error: Exception) -> None:
    """Raise in place of a fault after which all further tasks would fail in this process, whatever they are.

    Raises:
        DeviceLost: the fault is of this kind.
    """
    if is_device_lost(error):
        told = str(error).partition("\n")[0]
        raise DeviceLost(f"The GPU answers this process no more: {type(error).__name__}: {told}") from error


def _checked(stage: AnyStage, value: object) -> StageResult:
    if isinstance(value, Rejected | Failed):
        return value
    if isinstance(value, Task):
        return [value]
    if isinstance(value, list) and value and all(isinstance(child, Task) for child in value):
        return value
    raise StageError(f"Stage {stage.name} must return a task, a list of tasks, Rejected or Failed; got {value!r:.200}.")


def collect_rows(collect: Collect, tasks: list[Task]) -> Rows | Failed:
    """Convert the results of the last stage to rows; an error in `collect` fails only its task."""
    try:
        rows = [collect(task) for task in tasks]
    except Exception as error:  # noqa: BLE001 - as in `_run_alone`
        return failure_of(error)
    if len(rows) == 1:
        return rows[0]
    return [row for part in rows for row in (part if isinstance(part, list) else part.to_pylist())]


def split_into_batches(tasks: Iterable[Task], stage: AnyStage) -> Iterator[list[Task]]:
    """Consecutive tasks, of one group unless the stage mixes them, at most its `batch_size` together."""
    batch: list[Task] = []
    for task in tasks:
        is_other = not stage.mixes_groups and bool(batch) and task.group != batch[0].group
        if batch and (len(batch) >= stage.batch_size or is_other):
            yield batch
            batch = []
        batch.append(task)
    if batch:
        yield batch
