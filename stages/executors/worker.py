"""The worker: an actor that sets up and runs the stages of one pipeline after another."""

import faulthandler
import fcntl
import itertools
import logging
import os
import pickle
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import ray

from stages import retry
from stages.executors.batch_runner import collect_rows, run_batch
from stages.executors.life_signs import Signs, own_signs, read_signs, write_signs
from stages.executors.process_memory import private_bytes
from stages.executors.scratch_folder import ScratchFolder, fault_file, hold, remove_abandoned
from stages.executors.store_metrics import StoreMetrics
from stages.pipeline import AnyStage, Collect, Rows
from stages.stage import NodeInfo, WorkerMetadata
from stages.tasks import Failed, Rejected, Task

logger = logging.getLogger(__name__)

MAX_WAITING_BATCHES = 16
"""Batches that a worker processes at once, of stages that wait for others."""

Outcome = Rows | Rejected | Failed
TaskIndexes = list[tuple[int, int]]
"""For each task of a batch, the index of its block and its index in the block."""
PackedTasks = list[Task] | bytes
"""Tasks, or a pickle of them."""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Process and node of a worker that has started."""

    pid: int
    node_id: str


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """Size and group of a task for the next stage; the task itself stays in the object store."""

    nbytes: int
    group: str


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The results of the batches of a call, small enough to pass through the driver.

    Attributes:
        results: per task, in order: an entry for each child that goes on, or each outcome.
        seconds: time inside the stage.
        counters: amounts that the stage counted.
        memory_bytes: private memory of the worker afterwards.
        longest_s: the part of `seconds` that the longest batch took.
    """

    results: list[list[ChildInfo | Outcome]]
    seconds: float
    counters: dict[str, float]
    memory_bytes: int
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StageAssignment:
    """A stage as it is sent to a worker.

    Attributes:
        run_id: id of the pipeline run that it belongs to.
        index: index of the stage in the pipeline.
        stage: the stage, not yet set up.
        collect: converts the tasks that the stage returns to rows; only for the last stage.
        key: of the stage, the same for one that would be set up to the same.
        run_keys: of all stages of the run.
    """

    run_id: str
    index: int
    stage: AnyStage
    collect: Collect | None
    key: str
    run_keys: frozenset[str]


class Worker:
    """An actor in its own process. Serves one call at a time, and beside it those that wait for others, and `poll`."""

    def __init__(self, worker_id: str, num_threads: int, scratch: ScratchFolder, backoff: retry.Backoff) -> None:
        retry.use(backoff)
        node_id = ray.get_runtime_context().get_node_id()
        remove_abandoned(Path(tempfile.gettempdir()))
        self._folder = scratch.path_on(node_id)
        self._held_folder = hold(self._folder)
        tempfile.tempdir = str(self._folder)  # files that a killed worker leaves are removed with the session's folder
        self._fault_file = fault_file(self._folder, worker_id).open("w")
        faulthandler.enable(self._fault_file, all_threads=False)
        write_signs(self._folder, worker_id)
        device = "cuda:0" if ray.get_gpu_ids() else "cpu"
        self._metadata = WorkerMetadata(worker_id, node_info(node_id), device, num_threads)
        self._run_id = ""
        self._assignments: dict[int, StageAssignment] = {}
        self._prepared: dict[str, AnyStage] = {}
        self._store_metrics = StoreMetrics()

    def info(self) -> WorkerInfo:
        """Process and node. Ray answers this call once the process has started."""
        return WorkerInfo(os.getpid(), self._metadata.node.node_id)

    @ray.method(concurrency_group="watch")
    def poll(self) -> Signs:
        """What it says of itself. Answered while a stage runs, unless C code holds the GIL."""
        return own_signs()

    @ray.method(concurrency_group="watch")
    def poll_node(self) -> dict[str, Signs]:
        """What all workers of the session on this node say of themselves, up to a second ago; by their ids."""
        return read_signs(self._folder) | {self._metadata.worker_id: own_signs()}

    def set_up(self, assignment: StageAssignment) -> None:
        """Set a stage up, unless it was prepared, after tearing down those of an earlier run that this one lacks."""
        if assignment.run_id != self._run_id:
            for earlier in self._assignments.values():
                if earlier.key in assignment.run_keys and earlier.key not in self._prepared:
                    self._prepared[earlier.key] = earlier.stage
                else:
                    _tear_down(earlier.stage)
            self._assignments.clear()
            self._run_id = assignment.run_id
        stage = self._prepared.pop(assignment.key, None)
        if stage is None:
            stage = assignment.stage
            self._set_up_here(stage, f"{assignment.run_id}-{assignment.index}")
        self._assignments[assignment.index] = replace(assignment, stage=stage)

    def prepare(self, key: str, stage: AnyStage) -> None:
        """Set a stage of a later run up, and keep it until that run or until all are torn down."""
        if key not in self._prepared and all(key != each.key for each in self._assignments.values()):
            self._set_up_here(stage, key)
            self._prepared[key] = stage

    @ray.method(num_returns=2)
    def process(self, stage: int, indexes: list[TaskIndexes], *blocks: PackedTasks) -> tuple[BatchReport, list[Task]]:
        """Run the stage of this index on batches, one after another.

        Args:
            stage: the stage's index.
            indexes: of the tasks, batch by batch.
            blocks: of tasks, see `PackedTasks`.

        Returns:
            The results of all batches, and the children in the order of the results.
        """
        return self._process(stage, indexes, blocks)

    @ray.method(concurrency_group="waiting", num_returns=2)
    def process_waiting(
        self, stage: int, indexes: list[TaskIndexes], *blocks: PackedTasks
    ) -> tuple[BatchReport, list[Task]]:
        """`process`, in a thread beside the call of another stage, of a stage that waits for others."""
        return self._process(stage, indexes, blocks)

    def finish(self, stage: int, indexes: list[TaskIndexes], *blocks: PackedTasks) -> BatchReport:
        """`process` of the last stage, which has no children: each value of a call takes time in the driver."""
        return self._process(stage, indexes, blocks)[0]

    @ray.method(concurrency_group="waiting")
    def finish_waiting(self, stage: int, indexes: list[TaskIndexes], *blocks: PackedTasks) -> BatchReport:
        """`process_waiting` of the last stage."""
        return self._process(stage, indexes, blocks)[0]

    def _process(
        self, stage: int, indexes: list[TaskIndexes], blocks: tuple[PackedTasks, ...]
    ) -> tuple[BatchReport, list[Task]]:
        assignment = self._assignments[stage]
        given = [pickle.loads(block) if isinstance(block, bytes) else block for block in blocks]
        batches = [run_batch(assignment.stage, [given[block][index] for block, index in batch]) for batch in indexes]
        children: list[Task] = []
        results: list[list[ChildInfo | Outcome]] = []
        for result in itertools.chain.from_iterable(batch.results for batch in batches):
            if not isinstance(result, list):
                results.append([result])
            elif assignment.collect is not None:
                results.append([collect_rows(assignment.collect, [task]) for task in result])
            else:
                children.extend(result)
                results.append([ChildInfo(task.nbytes, task.group) for task in result])
        self._store_metrics.publish()
        counters: dict[str, float] = {}
        for name, amount in itertools.chain.from_iterable(batch.counters.items() for batch in batches):
            counters[name] = counters.get(name, 0.0) + amount
        seconds = [batch.seconds for batch in batches]
        return BatchReport(results, sum(seconds), counters, private_bytes() or 0, max(seconds)), children

    def tear_down(self) -> None:
        """Tear all stages down."""
        for stage in (*(each.stage for each in self._assignments.values()), *self._prepared.values()):
            _tear_down(stage)
        self._assignments.clear()
        self._prepared.clear()

    def _set_up_here(self, stage: AnyStage, name: str) -> None:
        """Run `setup`, and before it `setup_on_node` in the first worker of this machine; the others wait for it.

        Args:
            stage: the stage.
            name: the same for all that are to wait.
        """
        marker = self._folder / f"{name}-{self._metadata.node.node_id}"
        with marker.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it when the process ends
            if not marker.exists():
                stage.setup_on_node(self._metadata.node, self._metadata)
                marker.touch()
        stage.setup(self._metadata)


def _tear_down(stage: AnyStage) -> None:
    try:
        stage.teardown()
    except Exception:
        # This stage is done and its rows are delivered, so its teardown must not fail another stage.
        logger.exception("Stage %s cannot be torn down", stage.name)


def node_info(node_id: str) -> NodeInfo:
    """A node with what it has in all, as Ray knows it."""
    for node in ray.nodes():
        if node["NodeID"] == node_id:
            return NodeInfo(node_id, node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
    return NodeInfo(node_id, float(os.cpu_count() or 1), 0.0)
