"""An ordered list of stages, checked before anything runs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from stages.errors import ParamsError
from stages.stage import CompositeStage, ProcessingStage
from stages.tasks import Failed, Rejected, Row, Task

AnyStage = ProcessingStage[Any, Any]
Rows = list[Row] | pa.Table
Collect = Callable[[Task], Rows]
"""Turns what the last stage returned into output rows. Runs in the worker, so that frames stay there."""


@dataclass(frozen=True)
class ItemResult:
    """Everything that became of one task handed to an executor.

    Attributes:
        task_id: the task's.
        outcomes: rows where the task (or one of its children) went through, else its fate; in the order in
            which stages returned them, whatever worker was first.
    """

    task_id: str
    outcomes: tuple[Rows | Rejected | Failed, ...]


@dataclass
class StageStats:
    """What one stage did during one run of a pipeline.

    Attributes:
        tasks: how many it worked on; one that is tried again counts each time.
        retries: tasks tried again after a failure that may pass.
        busy_s: summed over workers, inside `process_batch`.
        longest_s: of one batch, inside `process_batch`.
        idle_s: summed over workers, from the end of a batch of this stage until the next thing they did.
        deaths: workers lost while they held a task of this stage, by reason.
        peak_memory_bytes: largest private memory seen of a worker while it ran this stage.
        peak_queue_bytes: most bytes that were held for this stage, waiting or in work.
        counters: sums of what the stage counted with `stages.counters.count`.
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

    def add_batch(self, tasks: int, seconds: float, counters: dict[str, float]) -> None:
        """Account for one finished batch."""
        self.tasks += tasks
        self.busy_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        for name, amount in counters.items():
            self.counters[name] = self.counters.get(name, 0.0) + amount


@dataclass
class RunStats:
    """What one run of a pipeline did, by stage name."""

    stages: dict[str, StageStats] = field(default_factory=lambda: {})
    seconds: float = 0.0

    def stage(self, name: str) -> StageStats:
        """The figures of one stage, begun at 0 when first asked for."""
        return self.stages.setdefault(name, StageStats())


class Executor(Protocol):
    """Runs pipelines; keeps its workers between them."""

    def run(self, pipeline: "Pipeline", tasks: Iterable[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Yield one result per task as it is finished, in any order, and None at least once a second.

        `tasks` is drawn from as room comes free. Closing the iterator stops the work.
        """
        ...

    def close(self) -> None:
        """End every worker, and the cluster where this executor started it."""
        ...


class Pipeline:
    """Stages in order, with what enters them and how their results become rows.

    Attributes:
        name: for messages and reports.
        stages: after `build`, with composites taken apart.
        collect: see `Collect`.
    """

    def __init__(
        self,
        name: str,
        stages: list[AnyStage | CompositeStage],
        *,
        collect: Collect,
        provides: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.collect = collect
        self._provides = frozenset(provides)
        self._stages = stages
        self.stages: list[AnyStage] = []

    def build(self) -> "Pipeline":
        """Take composites apart and check that each stage's inputs are made upstream.

        Raises:
            ParamsError: no stage, two of the same name, or an input that nothing upstream makes.
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
            missing = [name for name in _names(stage.inputs()) if name not in available]
            if missing:
                raise ParamsError(
                    f"Stage {stage.name} of pipeline {self.name} requires {missing}, which nothing upstream "
                    f"makes; available: {sorted(available)}. Put the stage that makes it before this one."
                )
            available.update(_names(stage.outputs()))
        self.stages = stages
        return self

    def describe(self) -> str:
        """One line a stage: name, resources, batch size, inputs and outputs."""
        lines = [f"Pipeline {self.name}"]
        for stage in self.stages or list(_flatten(self._stages)):
            lines.append(
                f"  {stage.name}: {stage.resources}, batch_size={stage.batch_size}, "
                f"{_names(stage.inputs())} -> {_names(stage.outputs())}"
            )
        return "\n".join(lines)


def _names(fields: tuple[list[str], list[str]]) -> list[str]:
    top, inner = fields
    return [*top, *(f"data.{name}" for name in inner)]


def _flatten(stages: Iterable[AnyStage | CompositeStage]) -> Iterator[AnyStage]:
    for stage in stages:
        if isinstance(stage, CompositeStage):
            yield from _flatten(stage.decompose())
        else:
            yield stage
