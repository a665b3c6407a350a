"""The base classes that a user extends: a stage, and a composite of several stages."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from stages.resources import Resources
from stages.tasks import Failed, Rejected, Task

X = TypeVar("X", bound=Task)
Y = TypeVar("Y", bound=Task)

Fields = tuple[list[str], list[str]]
"""Names of a task's own attributes, then names of attributes inside its ``data`` ("clips.frames")."""


_REQUEST_PARTS = 4
"""Batches of a stage that waits for a server that together ask for as much as may be in flight."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The node that a worker runs on."""

    node_id: str
    num_cpus: float
    num_gpus: float


@dataclass(frozen=True, slots=True)
class WorkerMetadata:
    """The worker that a stage is set up in.

    Attributes:
        worker_id: unique within the run.
        node: node that the worker runs on.
        device: device for torch: ``"cpu"``, ``"cuda:0"``.
        num_threads: number of threads that this worker may use.
    """

    worker_id: str
    node: NodeInfo
    device: str = "cpu"
    num_threads: int = 1


class ProcessingStage(ABC, Generic[X, Y]):
    """One step of a pipeline, run by a pool of workers.

    A stage is built from its parameters and is cheap to pickle; torch, weights and the like are loaded by `setup` in
    the worker. It never changes the task that it is given.

    Attributes:
        name: unique within a pipeline.
        resources: resources of one worker of the stage.
        batch_size: largest number of tasks in one `process_batch` call; all have the same `Task.group`.
        mixes_groups: a batch may hold tasks of several groups.
        batches_in_flight: largest number of batches that one worker is handed at once. The tasks of the second are in
            the worker when the first ends, so that a device does not wait for them.
        waits_for_others: its calls wait for a server more than they compute: the batches in flight are processed at
            once, each in a thread, beside a batch of another stage. `process_batch` must be thread-safe.
        max_workers: largest number of workers that it is set up in; 0 for no limit.
    """

    name: str = ""
    resources: Resources = Resources()
    batch_size: int = 1
    mixes_groups: bool = False
    batches_in_flight: int = 1
    waits_for_others: bool = False
    max_workers: int = 0

    def share_requests(self, requests_in_flight: int) -> int:
        """Make it a stage that waits for a server, in one worker; returns how many requests a batch should ask for.

        The worker is handed twice as many requests as may be in flight, and each batch that ends makes room for a part
        of them: so there is always one to send, also while the last ones of a batch are slow.
        """
        self.mixes_groups = self.waits_for_others = True
        self.max_workers, self.batches_in_flight = 1, 2 * _REQUEST_PARTS
        return -(-requests_in_flight // _REQUEST_PARTS)

    def inputs(self) -> Fields:
        """Fields that the stage reads; a stage before it must make them."""
        return [], []

    def outputs(self) -> Fields:
        """Fields that the stage adds to the task."""
        return [], []

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Prepare what the workers of a node share (download weights). Called once for each node, before `setup`."""

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load in the worker what `process` needs.

        Of a stage without a GPU it may be called while the phase before ends. It stays loaded where the next run of the
        session has a stage alike, one with the same pickle.
        """

    @abstractmethod
    def process(self, task: X) -> Y | list[Y] | Rejected | Failed:
        """Process one task.

        Returning None is an error: a task without result is `Rejected` or `Failed`. An exception becomes a failed row
        of this task alone.
        """

    def process_batch(self, tasks: list[X]) -> list[Y | list[Y] | Rejected | Failed]:
        """Process several tasks in one call; one result each, in their order. Override to vectorise."""
        return [self.process(task) for task in tasks]

    def teardown(self) -> None:
        """Release what `setup` loaded. Called before the worker runs another stage."""


class CompositeStage(ABC):
    """A stage that a pipeline replaces by several stages. May contain composites."""

    name: str = ""

    @abstractmethod
    def decompose(self) -> "list[ProcessingStage[Task, Task] | CompositeStage]":
        """The stages that it consists of, in order."""
