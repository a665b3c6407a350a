"""Measure what the engine adds to the work of stages: the same stages in a bare loop, in this process, on Ray workers.

    PYTHONPATH=. python benchmarks/engine.py [--repeat 3] [--work 4] [--items 0.02 0.5]

A stage hashes bytes so often that an item takes 20 ms or 0.5 s of a core. Told are CPU seconds of this process and all
that it started, the least of several rounds in each of which all ways have their turn, and what each adds to the bare
loop; and how many times faster two workers are than one. Ray and its workers are up before.
"""

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from stages.executors.local import LocalExecutor
from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.pipeline import Executor, Pipeline, RunStats
from stages.stage import ProcessingStage
from stages.tasks import Row, Task
from tests.faults.cpu_time import CpuTime

BYTES = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Item(Task):
    """A task, and what the stage made of it."""

    digest: str = ""


class Hashing(ProcessingStage[Item, Item]):
    """Hashes so many bytes so many times."""

    name = "hashing"

    def __init__(self, times: int, num_bytes: int = 1 << 20) -> None:
        self.times = times
        self.num_bytes = num_bytes

    def process(self, task: Item) -> Item:
        state = hashlib.sha256(task.task_id.encode())
        data = memoryview(BYTES)[: self.num_bytes]
        for _ in range(self.times):
            state.update(data)
        return Item(task.task_id, digest=state.hexdigest())


def rows_of(task: Task) -> list[Row]:
    """A row of an item."""
    assert isinstance(task, Item)
    return [{"id": task.task_id, "digest": task.digest}]


def bare_loop(stage: Hashing, items: list[Item]) -> dict[str, list[Row]]:
    """The rows by item, made without an engine."""
    stage.setup(None)  # pyrefly: ignore[bad-argument-type]  # it takes nothing of a worker
    return {item.task_id: rows_of(stage.process(item)) for item in items}


def on_executor(executor: Executor, stage: Hashing, items: list[Item]) -> dict[str, list[Row]]:
    """The rows by item, made by an executor."""
    pipeline = Pipeline("engine", [stage], collect=rows_of).build()
    results = executor.run(pipeline, iter(items), RunStats())
    outcomes = {result.task_id: result.outcomes for result in results if result is not None}
    return {name: rows for name, (rows,) in outcomes.items()}  # pyrefly: ignore[bad-return]  # none failed


def times_for(item_s: float) -> int:
    """How often a megabyte is hashed in so many seconds of a core that has nothing else to do."""
    begun = time.process_time()
    Hashing(200).process(Item("0"))
    return max(1, round(200 * item_s / (time.process_time() - begun)))


@dataclass(frozen=True)
class Cost:
    """CPU seconds of this process tree, and seconds."""

    cpu: float
    wall: float


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Cost]]:
    """The costs of each way in each round."""
    watch = CpuTime(os.getpid())
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            cpu, began = watch.seconds(), time.perf_counter()
            way()
            costs[name].append(Cost(watch.seconds() - cpu, time.perf_counter() - began))
    return costs


def executors_of(names: dict[str, ExecutorParams], stack: ExitStack) -> Iterator[tuple[str, Executor]]:
    """The executors by name, closed with the stack."""
    for name, params in names.items():
        kind = LocalExecutor if params.mode == "local" else RayExecutor
        yield name, stack.enter_context(closing(kind(params)))


WAYS = {
    "local executor": ExecutorParams(mode="local"),
    "one Ray worker": ExecutorParams(num_workers=1),
    "two Ray workers": ExecutorParams(num_workers=2),
}


def measure(item_s: float, work_s: float, rounds: int) -> dict[str, list[Cost]]:
    """The costs of some seconds of work in items of this length, in each way; the rows of all are the same.

    A Ray with one worker and one with two would compete, so each has its rounds beside a bare loop of its own.
    """
    stage = Hashing(times_for(item_s))
    items = [Item(f"{number}") for number in range(max(4, round(work_s / item_s)))]
    expected = bare_loop(stage, items)
    found: dict[str, list[Cost]] = {}
    for name, params in WAYS.items():
        with ExitStack() as stack:
            ((_, executor),) = executors_of({name: params}, stack)
            assert on_executor(executor, stage, items) == expected
            ways: dict[str, Callable[[], object]] = {
                f"bare loop beside {name}": lambda: bare_loop(stage, items),
                name: lambda executor=executor: on_executor(executor, stage, items),
            }
            found.update(in_turn(ways, rounds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=float, default=4.0, help="seconds of work of a round")
    parser.add_argument("--items", type=float, nargs="+", default=[0.02, 0.5], help="seconds of an item")
    args = parser.parse_args()
    print("| items of | way | CPU s | more than the bare loop | s |\n| --- | --- | --- | --- | --- |")
    for item_s in args.items:
        found = measure(item_s, args.work, args.repeat)
        for name in WAYS:
            bare, way = (min(each.cpu for each in found[key]) for key in (f"bare loop beside {name}", name))
            wall = min(each.wall for each in found[name])
            print(f"| {1000 * item_s:.0f} ms | {name} | {way:.2f} | {way / bare - 1:+.1%} | {wall:.2f} |", flush=True)
        one, two = (min(each.wall for each in found[name]) for name in ("one Ray worker", "two Ray workers"))
        print(f"| {1000 * item_s:.0f} ms | two workers against one | | | {one / two:.2f} times |", flush=True)


if __name__ == "__main__":
    main()
