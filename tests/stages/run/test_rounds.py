"""Pipelines that an item goes through again, with what the stages made of it the time before."""

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from stages.executors.local import LocalExecutor
from stages.params import ExecutorParams
from stages.pipeline import ItemResult, Pipeline, RunStats
from stages.run.rounds import run_rounds
from stages.stage import ProcessingStage
from stages.tasks import Failed, Task


@dataclass(frozen=True, slots=True)
class Sum(Task):
    """Numbers to add, two by two, until one is left."""

    numbers: tuple[int, ...] = field(kw_only=True)


class Divide(ProcessingStage[Sum, Sum]):
    name = "divide"

    def process(self, task: Sum) -> list[Sum]:
        starts = range(0, len(task.numbers), 2)
        return [Sum(f"{task.task_id}/{start}", task.group, numbers=task.numbers[start : start + 2]) for start in starts]


class Add(ProcessingStage[Sum, Sum]):
    name = "add"

    def process(self, task: Sum) -> Sum:
        if 0 in task.numbers:
            raise ValueError("nothing to add")
        return replace(task, numbers=(sum(task.numbers),))


def numbers_of(task: Task) -> pa.Table:
    assert isinstance(task, Sum)
    return pa.table({"number": list(task.numbers)})


def again(task: Task, result: ItemResult) -> Task | None:
    tables: list[Any] = [outcome for outcome in result.outcomes if isinstance(outcome, pa.Table)]
    if len(tables) < len(result.outcomes) or len(tables) == 1:
        return None
    return Sum(task.task_id, numbers=tuple(value for table in tables for value in table["number"].to_pylist()))


def test_each_item_goes_on_with_all_that_was_made_of_it_until_it_is_done() -> None:
    pipeline = Pipeline("sums", [Divide(), Add()], collect=numbers_of, again=again).build()
    items = {"a": range(1, 12), "b": [5], "c": [1, 2, 0, 3], "d": [3, 4]}
    tasks = [Sum(name, numbers=tuple(numbers)) for name, numbers in items.items()]
    stats = RunStats()
    found = [
        result for result in run_rounds(LocalExecutor(ExecutorParams(mode="local")), pipeline, tasks, stats) if result
    ]
    results: dict[str, Any] = {result.task_id: result.outcomes for result in found}
    assert sorted(result.task_id for result in found) == ["a", "b", "c", "d"]
    for name in "abd":
        (outcome,) = results[name]
        assert isinstance(outcome, pa.Table)
        assert outcome["number"].to_pylist() == [sum(items[name])]
    assert [type(outcome) for outcome in results["c"]] == [pa.Table, Failed]
    assert stats.stage("divide").tasks == 4 + 1 + 1 + 1, "eleven numbers take four rounds"
