"""The worker: a process that takes on one stage after another, of one pipeline after another."""

import faulthandler
import fcntl
import logging
import os
import tempfile
from dataclasses import dataclass

import ray

from stages import heartbeat, retry
from stages.base import NodeInfo, WorkerMetadata
from stages.executors.batch_runner import collect_rows, run_batch
from stages.executors.process_memory import private_bytes
from stages.executors.scratch_folder import Scratch, fault_file
from stages.pipeline import AnyStage, Collect, Rows
from stages.tasks import Failed, Rejected, Task

logger = logging.getLogger(__name__)

Outcome = Rows | Rejected | Failed
Picks = list[tuple[int, int]]
"""Which tasks make the batch: the parcel, and the place in it."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Where a worker came to life."""

    pid: int
    node_id: str


@dataclass(frozen=True, slots=True)
class Child:
    """What the driver must know of a task that goes on to the next stage; the task itself stays in the object store."""

    nbytes: int
    group: str


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch, small enough to pass through the driver.

    Attributes:
        entries: per task, what it became, in order: children that go on, or outcomes.
        seconds: time inside the stage.
        counters: what the stage counted.
        memory_bytes: private memory of the worker afterwards.
    """

    entries: list[list[Child | Outcome]]
    seconds: float
    counters: dict[str, float]
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Duty:
    """A stage as it is sent to a worker.

    Attributes:
        run: id of the run of a pipeline that it belongs to.
        index: its place in the pipeline.
        stage: not yet set up.
        collect: makes rows of what it returns; only on the last stage.
    """

    run: str
    index: int
    stage: AnyStage
    collect: Collect | None


class Worker:
    """Runs in a process of its own. One call at a time, beside `poll`, which the driver watches it by."""

    def __init__(self, worker_id: str, num_threads: int, scratch: Scratch, backoff: retry.Backoff) -> None:
        retry.use(backoff)
        node_id = ray.get_runtime_context().get_node_id()
        self._scratch = scratch.on(node_id)
        tempfile.tempdir = str(self._scratch)  # what a worker that is killed leaves there goes with the session
        self._faults = fault_file(self._scratch, worker_id).open("w")
        faulthandler.enable(self._faults, all_threads=False)
        device = "cuda:0" if ray.get_gpu_ids() else "cpu"
        self._metadata = WorkerMetadata(worker_id, _node(node_id), device, num_threads)
        self._run = ""
        self._duties: dict[int, Duty] = {}

    def start(self) -> Birth:
        """Answer once the process is up."""
        return Birth(os.getpid(), self._metadata.node.node_id)

    @ray.method(concurrency_group="watch")
    def poll(self) -> tuple[int, int]:
        """Heartbeats so far and private memory in bytes; answered beside the work, unless C code holds the GIL."""
        return heartbeat.beats(), private_bytes() or 0

    def set_up(self, duty: Duty) -> None:
        """Make a stage ready, and let go of those of an earlier run."""
        if duty.run != self._run:
            self.clear()
            self._run = duty.run
        self._set_up_node(duty)
        duty.stage.setup(self._metadata)
        self._duties[duty.index] = duty

    @ray.method(num_returns=2)
    def process(self, index: int, picks: Picks, *parcels: list[Task]) -> tuple[BatchReport, list[Task]]:
        """Run a stage that is ready on a batch; the second value holds the children, in the order of the entries."""
        duty = self._duties[index]
        done = run_batch(duty.stage, [parcels[parcel][place] for parcel, place in picks])
        children: list[Task] = []
        entries: list[list[Child | Outcome]] = []
        for result in done.results:
            if not isinstance(result, list):
                entries.append([result])
            elif duty.collect is not None:
                entries.append([collect_rows(duty.collect, [task]) for task in result])
            else:
                children.extend(result)
                entries.append([Child(task.nbytes, task.group) for task in result])
        return BatchReport(entries, done.seconds, done.counters, private_bytes() or 0), children

    def clear(self) -> None:
        """Tear all stages down."""
        for duty in self._duties.values():
            try:
                duty.stage.teardown()
            except Exception:
                # The work of this stage is done and its rows are handed over: no reason to fail another's.
                logger.exception("Stage %s cannot be torn down", duty.stage.name)
        self._duties.clear()

    def _set_up_node(self, duty: Duty) -> None:
        """Run `setup_on_node` in the first worker of this machine; the others wait for it."""
        mark = self._scratch / f"{duty.run}-{duty.index}-{self._metadata.node.node_id}"
        with mark.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when the process ends
            if not mark.exists():
                duty.stage.setup_on_node(self._metadata.node, self._metadata)
                mark.touch()


def _node(node_id: str) -> NodeInfo:
    for node in ray.nodes():
        if node["NodeID"] == node_id:
            return NodeInfo(node_id, node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
    return NodeInfo(node_id, float(os.cpu_count() or 1), 0.0)
