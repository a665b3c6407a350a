"""A pipeline: an ordered list of stages, checked before it runs; the results and statistics of its runs."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from stages.errors import ParamsError
from stages.stage import CompositeStage, ProcessingStage
from stages.tasks import Failed, Rejected, Row, Task

AnyStage = ProcessingStage[Any, Any]
Rows = list[Row] | pa.Table
Collect = Callable[[Task], Rows]
"""Turns the result of the last stage into output rows. Runs in the worker, so that frames stay there."""


@dataclass(frozen=True)
class ItemResult:
    """The outcomes of one task that was given to an executor.

    Attributes:
        task_id: the task's.
        outcomes: one for the task, or for each task that stages made of it: its rows, or the rejection or failure; in
            the order in which the stages returned them, whichever worker finished first.
    """

    task_id: str
    outcomes: tuple[Rows | Rejected | Failed, ...]


@dataclass
class StageStats:
    """Figures of one stage during one run of a pipeline.

    Attributes:
        tasks: tasks processed; a retried task counts each time.
        retries: retries of tasks after transient failures.
        busy_s: time inside `process_batch`, summed over workers.
        longest_s: longest time of one batch inside `process_batch`.
        idle_s: time from the end of a batch of this stage until the worker's next activity, summed over workers.
        deaths: workers lost while they held a task of this stage, by reason.
        peak_memory_bytes: largest measured private memory of a worker that ran this stage.
        peak_queue_bytes: largest number of bytes held for this stage, queued or being processed.
        counters: sums of what the stage counted with `stages.heartbeat.count`.
    """

    tasks: int = 0
    retries: int = 0
    busy_s: float = 0.0
    longest_s: float = 0.0
    idle_s: float = 0.0
    deaths: dict[str, int] = field(default_factory=lambda: {})
    peak_memory_bytes: int = 0
    peak_queue_bytes: int = 0
    counters: dict[str, float] = field(default_factory=lambda: {})

    def add_batch(self, tasks: int, seconds: float, counters: dict[str, float], *, longest_s: float = 0.0) -> None:
        """Add the figures of one finished batch, or of several, of which the longest took `longest_s`."""
        self.tasks += tasks
        self.busy_s += seconds
        self.longest_s = max(self.longest_s, longest_s or seconds)
        for name, amount in counters.items():
            self.counters[name] = self.counters.get(name, 0.0) + amount


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that a worker has in work, as last heard of.

    Attributes:
        task_ids: of the tasks given to the executor that its tasks come from.
        counters: what the stage has counted so far of it.
        seconds: since it was sent to the worker.
    """

    task_ids: tuple[str, ...]
    counters: Mapping[str, float]
    seconds: float


class QueueLoad(NamedTuple):
    """What is held for one stage: tasks that wait for it, and bytes of those that wait or are in work."""

    waiting: int
    held_bytes: int


@dataclass(frozen=True)
class Load:
    """What an executor has in work right now.

    Attributes:
        queues: by stage.
        workers: number of workers by node, state and stage; the state is ``busy``, with the stage, or ``idle`` or
            ``starting``, without one.
        left_out_nodes: nodes that get no work now.
    """

    queues: Mapping[str, QueueLoad] = field(default_factory=lambda: {})
    workers: Mapping[tuple[str, str, str], int] = field(default_factory=lambda: {})
    left_out_nodes: Collection[str] = ()


@dataclass
class RunStats:
    """Figures of one run of a pipeline.

    Attributes:
        stages: by stage name.
        seconds: duration of the whole run, known at its end.
        activity: what the executor does before the first task is worked on, such as "starting Ray"; empty from then on.
        work_began_at: when the first task was given to a stage, by the monotonic clock; None before.
        running: batches in work that have counted anything.
        left_out_nodes: for each node of Ray that got no work for a while, why.
        failures: items that failed, by reason.
        load: what an executor with workers has in work, brought up to date about once a second.
        status: what the run tells of itself, which the executor may show where it works.
        on_running: called in place of yielding None by an executor that works in the thread of its caller.
    """

    stages: dict[str, StageStats] = field(default_factory=lambda: {})
    seconds: float = 0.0
    activity: str = ""
    work_began_at: float | None = None
    running: list[RunningBatch] = field(default_factory=lambda: [])
    left_out_nodes: dict[str, str] = field(default_factory=lambda: {})
    failures: Counter[str] = field(default_factory=lambda: Counter())
    load: Load = field(default_factory=Load)
    status: Mapping[str, Any] = field(default_factory=lambda: {})
    on_running: Callable[[], object] = lambda: None

    def begin_work(self) -> None:
        """Note that a task is worked on. Only the first call has an effect."""
        if self.work_began_at is None:
            self.activity, self.work_began_at = "", time.monotonic()

    def stage(self, name: str) -> StageStats:
        """The figures of one stage; created with zeros on first use."""
        return self.stages.setdefault(name, StageStats())


Again = Callable[[Task, ItemResult], Task | None]
"""From a task and all its outcomes, the task as which it goes through the pipeline again; None where it is done.

So what stages made of one task comes together, and goes on as one. Called in the driver once all tasks are through."""


class Executor(Protocol):
    """Runs pipelines; keeps its workers between them."""

    def start(self) -> None:
        """Start what the first run needs, before there is a task. May be called in another thread than `run`."""
        ...

    def expect(self, following: "Sequence[Sequence[AnyStage]]") -> None:
        """Note the stages of the phases that follow the next run, in order; they may be set up ahead."""
        ...

    def run(self, pipeline: "Pipeline", tasks: Iterable[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Yield one result per finished task, in any order, and None at the beginning and at least once a second.

        One that works in the thread of its caller calls `stats.on_running` instead of yielding None inside a batch.

        `stats` is kept up to date meanwhile. `tasks` is consumed as capacity becomes free. Closing the iterator stops
        the work.
        """
        ...

    def close(self) -> None:
        """Stop every worker, and the cluster where this executor started it."""
        ...


class Pipeline:
    """Stages in order, the fields that their tasks have at the start, and how results become rows.

    Attributes:
        name: for messages and reports.
        stages: after `build`, with composites decomposed.
        collect: see `Collect`.
        again: see `Again`; None where every task goes through once.
        folders: local folders that workers on every machine must see; a URL is no matter.
        files: local files likewise.
    """

    def __init__(
        self,
        name: str,
        stages: list[AnyStage | CompositeStage],
        *,
        collect: Collect,
        provides: Iterable[str] = (),
        again: "Again | None" = None,
    ) -> None:
        self.name = name
        self.collect = collect
        self.again = again
        self.folders: list[str] = []
        self.files: list[str] = []
        self._provides = frozenset(provides)
        self._stages = stages
        self.stages: list[AnyStage] = []

    def build(self) -> "Pipeline":
        """Decompose composites and check that each stage's inputs are outputs of stages before it.

        Raises:
            ParamsError: no stage, two of the same name, or an input that no stage before makes.
        """
        stages = list(_flatten(self._stages))
        if not stages:
            raise ParamsError(f"Pipeline {self.name} requires at least one stage, got none.")
        available = set(self._provides)
        seen: set[str] = set()
        for stage in stages:
            if not stage.name or stage.name in seen:
                raise ParamsError(
                    f"Stages of pipeline {self.name} must have names of their own, got {stage.name!r} "
                    f"({type(stage).__name__})."
                )
            seen.add(stage.name)
            missing = [name for name in _field_names(stage.inputs()) if name not in available]
            if missing:
                raise ParamsError(
                    f"Stage {stage.name} of pipeline {self.name} requires {missing}, which nothing upstream "
                    f"makes; available: {sorted(available)}. Put the stage that makes it before this one."
                )
            available.update(_field_names(stage.outputs()))
        self.stages = stages
        return self

    def describe(self) -> str:
        """One line a stage: name, resources, batch size, inputs and outputs."""
        lines = [f"Pipeline {self.name}"]
        for stage in self.stages or list(_flatten(self._stages)):
            lines.append(
                f"  {stage.name}: {stage.resources}, batch_size={stage.batch_size}, "
                f"{_field_names(stage.inputs())} -> {_field_names(stage.outputs())}"
            )
        return "\n".join(lines)


def _field_names(fields: tuple[list[str], list[str]]) -> list[str]:
    own, data = fields
    return [*own, *(f"data.{name}" for name in data)]


def _flatten(stages: Iterable[AnyStage | CompositeStage]) -> Iterator[AnyStage]:
    for stage in stages:
        if isinstance(stage, CompositeStage):
            yield from _flatten(stage.decompose())
        else:
            yield stage
