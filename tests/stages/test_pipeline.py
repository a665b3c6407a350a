"""Pipelines are checked before they run, and run alike in this process."""

from dataclasses import replace

import pytest

from stages.errors import ParamsError, PhaseError
from stages.executors.local import LocalExecutor
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, ItemResult, Pipeline, RunStats
from stages.stage import CompositeStage, Fields, ProcessingStage
from stages.tasks import Failed, Rejected, Row, Task


class AppendName(ProcessingStage[Task, Task]):
    """Appends its name to the task's group, so that rows show the path of a task."""

    def __init__(self, name: str, *, needs: str = "", makes: str = "") -> None:
        self.name = name
        self._fields: tuple[Fields, Fields] = (([], [needs] if needs else []), ([], [makes] if makes else []))

    def inputs(self) -> Fields:
        return self._fields[0]

    def outputs(self) -> Fields:
        return self._fields[1]

    def process(self, task: Task) -> Task | list[Task] | Rejected | Failed:
        return replace(task, group=task.group + self.name)


class FanOut(AppendName):
    """Makes three of one, refuses "r", breaks on "x", returns nothing for "n"."""

    def process(self, task: Task) -> Task | list[Task] | Rejected | Failed:
        if task.task_id == "r":
            return Rejected("no", "because")
        if task.task_id == "x":
            raise ValueError("broken")
        if task.task_id == "n":
            return None  # type: ignore[return-value]
        return [replace(task, group=f"{task.group}{index}") for index in range(3)]


class Pair(CompositeStage):
    """Stands for two stages, one of them nested once more."""

    name = "pair"

    def __init__(self, depth: int = 1) -> None:
        self._depth = depth

    def decompose(self) -> list[AnyStage | CompositeStage]:
        return [AppendName(f"p{self._depth}"), Pair(self._depth - 1) if self._depth else AppendName("last")]


def collect(task: Task) -> list[Row]:
    return [{"path": task.group}]


def run(stages: list[AnyStage | CompositeStage], *task_ids: str) -> dict[str, ItemResult]:
    pipeline = Pipeline("test", stages, collect=collect).build()
    results = LocalExecutor(ExecutorParams(mode="local")).run(pipeline, map(Task, task_ids), RunStats())
    return {result.task_id: result for result in results if result}


def test_build_takes_composites_apart() -> None:
    pipeline = Pipeline("test", [Pair(2), AppendName("end")], collect=collect).build()
    assert [stage.name for stage in pipeline.stages] == ["p2", "p1", "p0", "last", "end"]
    assert "last" in pipeline.describe()


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "at least one stage"),
        ([AppendName("a"), AppendName("a")], "names of their own, got 'a'"),
        ([AppendName("")], "names of their own"),
        (
            [AppendName("a", needs="clips.frames"), AppendName("b", makes="clips.frames")],
            "a .* requires .*clips.frames",
        ),
    ],
)
def test_build_rejects(stages: list[AnyStage | CompositeStage], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        Pipeline("test", stages, collect=collect).build()


def test_build_accepts_what_is_provided_or_made_upstream() -> None:
    stages: list[AnyStage | CompositeStage] = [AppendName("a", needs="given", makes="x"), AppendName("b", needs="x")]
    Pipeline("test", stages, collect=collect, provides=["data.given"]).build()


def test_run_keeps_children_in_order() -> None:
    result = run([FanOut("f"), AppendName("-"), FanOut("g")], "t")["t"]
    assert [rows[0]["path"] for rows in result.outcomes if isinstance(rows, list)] == [
        f"{first}-{second}" for first in "012" for second in "012"
    ]


def test_run_reports_each_fate_under_its_task() -> None:
    results = run([FanOut("f")], "t", "r", "x", "n")
    assert isinstance(results["t"].outcomes[0], list)
    assert results["r"].outcomes == (Rejected("no", "because"),)
    (broken,), (nothing,) = results["x"].outcomes, results["n"].outcomes
    assert isinstance(broken, Failed)
    assert broken.error == "ValueError: broken"
    assert isinstance(nothing, Failed)
    assert "must return a task" in nothing.error


class FailingSetup(AppendName):
    """Cannot be set up."""

    def setup(self, worker_metadata: object) -> None:
        raise FileNotFoundError("weights.pth")


def test_run_rejects_a_stage_that_cannot_be_set_up() -> None:
    with pytest.raises(PhaseError, match=r"Stage u cannot be set up: weights\.pth"):
        run([FailingSetup("u")], "t")
