"""A stage of a pipeline as Cosmos-Xenna runs it: in an actor of Xenna's, with what it did told to a journal.

Xenna carries envelopes from stage to stage and knows nothing of items, rows or outcomes. An outcome goes to the journal
where it is made, so that the driver has it while the pipeline still runs.
"""

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

import cosmos_xenna.pipelines.v1 as xenna  # pyrefly: ignore[missing-import]  # of the extra `xenna`
import ray

from stages import retry
from stages.executors.batch_runner import (
    BatchResult,
    RetryPolicy,
    StageResult,
    collect_rows,
    run_batch,
    split_into_batches,
)
from stages.executors.cluster import Shape
from stages.executors.scratch_folder import ScratchFolder, hold
from stages.executors.worker import node_info
from stages.pipeline import AnyStage, Collect, Rows
from stages.stage import NodeInfo, WorkerMetadata
from stages.tasks import Failed, Rejected, Task

MIN_SLOTS = 2
"""Batches that an actor of Xenna's holds at least: the tasks of the second are there when the first ends."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task stands among all that stages made of one item.

    Attributes:
        item: index of the task that was given to the executor.
        path: for each stage so far, the index among what it made of the task before.
        share: part of the item: halves where a stage made two tasks of it. An item is done when its shares make 1.
    """

    item: int
    path: tuple[int, ...] = ()
    share: Fraction = Fraction(1)

    def child(self, index: int, siblings: int) -> "Place":
        """The place of one of several tasks that a stage made of this one."""
        return Place(self.item, (*self.path, index), self.share / siblings)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A task on its way, with its place."""

    place: Place
    task: Task

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # Xenna copies its whole input, which nobody changes


Outcomes = list[tuple[Place, Rows | Rejected | Failed]]


@dataclass
class BatchEntry:
    """What an actor did with one batch.

    Attributes:
        stage: index of the stage.
        num_tasks: tasks of the batch, each try of one.
        retries: of single tasks after transient failures.
        seconds: time inside the stage.
        counters: amounts that the stage counted.
        outcomes: of tasks that go no further.
    """

    stage: int
    num_tasks: int = 0
    retries: int = 0
    seconds: float = 0.0
    counters: dict[str, float] = field(default_factory=lambda: {})
    outcomes: Outcomes = field(default_factory=lambda: [])

    def add(self, done: BatchResult) -> None:
        """Add a call of the stage."""
        self.num_tasks += len(done.results)
        self.seconds += done.seconds
        for name, amount in done.counters.items():
            self.counters[name] = self.counters.get(name, 0.0) + amount


class Journal:
    """An actor in which Xenna's actors note what they do, and from which the driver reads it."""

    def __init__(self) -> None:
        self._entries: list[BatchEntry] = []
        self._actors: list[Any] = []
        self._in_work: dict[str, list[int]] = {}
        self._set_up_errors: list[str] = []

    def add_actor(self, actor: Any) -> None:
        """Note an actor, which is to be ended with the run."""
        self._actors.append(actor)

    def fail_set_up(self, text: str) -> None:
        """Note why a stage cannot be set up."""
        self._set_up_errors.append(text)

    def begin(self, actor_id: str, items: list[int]) -> None:
        """Note the items that an actor works on from now on."""
        self._in_work[actor_id] = items

    def end(self, actor_id: str, entry: BatchEntry) -> None:
        """Note what became of them."""
        del self._in_work[actor_id]
        self._entries.append(entry)

    def take(self) -> list[BatchEntry]:
        """What was noted since the last call."""
        entries, self._entries = self._entries, []
        return entries

    def set_up_errors(self) -> list[str]:
        """Why stages cannot be set up."""
        return self._set_up_errors

    def items_in_work(self) -> list[int]:
        """The items that actors work on, or worked on when they died."""
        return sorted({item for items in self._in_work.values() for item in items})

    def actors(self) -> list[Any]:
        """All actors that were noted."""
        return self._actors


@dataclass(frozen=True)
class RunSettings:
    """What all stages of a run share.

    Attributes:
        journal: the actor `Journal`.
        scratch: folder for temporary files.
        environment: variables of the actors.
        policy: which failures are tried again.
    """

    journal: Any
    scratch: ScratchFolder
    environment: dict[str, str]
    policy: RetryPolicy


class XennaStage(xenna.Stage):
    """A stage in Xenna's terms.

    Args:
        stage: not yet set up.
        index: in the pipeline.
        shape: CPUs and GPUs of a worker.
        settings: of the run.
        collect: converts the tasks that the stage returns to rows; only for the last stage.
    """

    def __init__(
        self, stage: AnyStage, index: int, shape: Shape, settings: RunSettings, collect: Collect | None
    ) -> None:
        self._stage = stage
        self._index = index
        self._shape = shape
        self._settings = settings
        self._collect = collect
        self._actor_id = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # the driver never changes it

    @property
    def stage_batch_size(self) -> int:
        """Tasks of one call; of a stage that waits for others as many as may be in flight."""
        return self._stage.batch_size * self._num_threads

    @property
    def required_resources(self) -> Any:
        """CPUs and GPUs of one actor."""
        gpus = self._shape.gpus
        return xenna.Resources(cpus=self._shape.cpus, gpus=int(gpus) if gpus >= 1 else gpus)

    @property
    def env_info(self) -> Any:
        """Variables of the actors."""
        threads = {"OMP_NUM_THREADS": str(max(1, int(self._shape.cpus)))}
        return xenna.RuntimeEnv(extra_env_vars={**threads, **self._settings.environment})

    @property
    def _num_threads(self) -> int:
        return self._stage.batches_in_flight if self._stage.waits_for_others else 1

    def spec(self) -> Any:
        """The stage with the number of its actors and of what each holds."""
        return xenna.StageSpec(
            self,
            num_workers=self._stage.max_workers or None,
            slots_per_actor=max(MIN_SLOTS, self._stage.batches_in_flight // self._num_threads),
        )

    def setup_on_node(self, node_info: Any, worker_metadata: Any) -> None:
        """Prepare what the actors of a node share."""
        self._set_up(self._stage.setup_on_node, worker_metadata, with_node=True)

    def setup(self, worker_metadata: Any) -> None:
        """Load what the stage needs, and tell the journal of this actor."""
        self._actor_id = worker_metadata.worker_id
        retry.use(self._settings.policy.backoff)
        journal = self._settings.journal
        ray.get(journal.add_actor.remote(ray.get_runtime_context().current_actor))
        self._set_up(self._stage.setup, worker_metadata)

    def _set_up(self, call: Any, given: Any, *, with_node: bool = False) -> None:
        node, worker = self._metadata(given)
        try:
            call(*([node] if with_node else []), worker)
        except Exception as error:  # a user's stage may raise anything; Xenna ends the run
            text = f"Stage {self._stage.name} cannot be set up: {error}"
            ray.get(self._settings.journal.fail_set_up.remote(text))
            raise

    def _metadata(self, given: Any) -> tuple[NodeInfo, WorkerMetadata]:
        node = node_info(ray.get_runtime_context().get_node_id())
        folder = self._settings.scratch.path_on(node.node_id)
        if tempfile.tempdir != str(folder):
            self._held_folder = hold(folder)
            tempfile.tempdir = str(folder)
        device = "cuda:0" if given.allocation.gpus else "cpu"
        return node, WorkerMetadata(given.worker_id, node, device, max(1, int(self._shape.cpus)))

    def process_data(self, in_data: list[Envelope]) -> list[Envelope]:
        """Run the stage on a batch; returns the tasks that go on, each with its place."""
        journal, entry = self._settings.journal, BatchEntry(self._index)
        ray.get(journal.begin.remote(self._actor_id, [envelope.place.item for envelope in in_data]))
        following: list[Envelope] = []
        for envelope, result in zip(in_data, self._results([each.task for each in in_data], entry), strict=True):
            if not isinstance(result, list):
                entry.outcomes.append((envelope.place, result))
                continue
            places = [envelope.place.child(index, len(result)) for index in range(len(result))]
            if self._collect is None:
                following += map(Envelope, places, result)
            else:
                entry.outcomes += [
                    (place, collect_rows(self._collect, [task])) for place, task in zip(places, result, strict=True)
                ]
        ray.get(journal.end.remote(self._actor_id, entry))  # this actor may be ended once it has answered
        return following

    def _results(self, tasks: Sequence[Task], entry: BatchEntry) -> list[StageResult]:
        """Results in the order of the tasks; those that fail for a reason that may pass are tried again, alone."""
        batches = list(split_into_batches(tasks, self._stage))
        with ThreadPoolExecutor(self._num_threads) as threads:
            run_all = threads.map if self._num_threads > 1 else map
            done = list(run_all(lambda batch: run_batch(self._stage, batch), batches))
        results: list[StageResult] = []
        for each in done:
            entry.add(each)
            results += each.results
        policy = self._settings.policy
        for index, task in enumerate(tasks):
            num_failures = 0
            while policy.should_retry(results[index], num_failures):
                num_failures += 1
                entry.retries += 1
                time.sleep(policy.backoff.wait_s(num_failures))
                again = run_batch(self._stage, [task])
                entry.add(again)
                [results[index]] = again.results
        return results
