"""The abstractions that a user extends: a stage, and a stage that becomes several."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from stages.resources import Resources
from stages.tasks import Failed, Rejected, Task

X = TypeVar("X", bound=Task)
Y = TypeVar("Y", bound=Task)

Fields = tuple[list[str], list[str]]
"""Names of a task's own attributes, then of what lies inside its ``data`` ("clips.frames")."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The machine that a worker runs on."""

    node_id: str
    num_cpus: float
    num_gpus: float


@dataclass(frozen=True, slots=True)
class WorkerMetadata:
    """What a stage may know of the worker that it is set up in.

    Attributes:
        worker_id: unique within the run.
        node: the machine.
        device: what torch should compute on: ``"cpu"``, ``"cuda:0"``.
        num_threads: threads that this worker may keep busy.
    """

    worker_id: str
    node: NodeInfo
    device: str = "cpu"
    num_threads: int = 1


class ProcessingStage(ABC, Generic[X, Y]):
    """One step of a pipeline, run by a pool of workers.

    A stage is built from its parameters and is cheap to pickle; whatever is heavy (torch, weights) is loaded by
    `setup` in the worker. It never changes the task that it is given.

    Attributes:
        name: unique within a pipeline.
        resources: what one worker of it occupies.
        batch_size: tasks in one `process_batch` call; all of one `Task.group`.
    """

    name: str = ""
    resources: Resources = Resources()
    batch_size: int = 1

    def inputs(self) -> Fields:
        """What the stage reads; something upstream must make it."""
        return [], []

    def outputs(self) -> Fields:
        """What the stage adds to the task."""
        return [], []

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Do once a machine what its workers share, such as fetching weights. Called before `setup`."""

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load what `process` needs, in the worker."""

    @abstractmethod
    def process(self, task: X) -> Y | list[Y] | Rejected | Failed:
        """Work on one task.

        Returning None is an error: a task that yields nothing is `Rejected` or `Failed`. What is raised here
        becomes a failed row of this task alone.
        """

    def process_batch(self, tasks: list[X]) -> list[Y | list[Y] | Rejected | Failed]:
        """Work on several tasks at once; one result each, in their order. Override to vectorise."""
        return [self.process(task) for task in tasks]

    def teardown(self) -> None:
        """Let go of what `setup` took. Called before the worker turns to something else."""


class CompositeStage(ABC):
    """What a user sees as one stage and a pipeline runs as several. May contain composites."""

    name: str = ""

    @abstractmethod
    def decompose(self) -> "list[ProcessingStage[Task, Task] | CompositeStage]":
        """The stages that it stands for, in order."""
