"""Runs a pipeline, round after round where it wants that."""

from collections.abc import Generator, Iterable, Iterator

from stages.pipeline import Executor, ItemResult, Pipeline, RunStats
from stages.tasks import Task


def run_rounds(
    executor: Executor, pipeline: Pipeline, tasks: Iterable[Task], stats: RunStats
) -> Generator[ItemResult | None, None, None]:
    """Yield one result per task as it is finished, and None now and then, as `Executor.run` does.

    A task that `Pipeline.again` makes a new one of goes through the pipeline once more, after all others of its round.
    """
    if pipeline.again is None:
        yield from executor.run(pipeline, tasks, stats)
        return
    while True:
        in_work: dict[str, Task] = {}
        following: list[Task] = []
        for result in executor.run(pipeline, _noted(tasks, in_work), stats):
            task = pipeline.again(in_work.pop(result.task_id), result) if result is not None else None
            if task is None:
                yield result
            else:
                following.append(task)
        if not following:
            return
        tasks = following


def _noted(tasks: Iterable[Task], in_work: dict[str, Task]) -> Iterator[Task]:
    """The tasks, as they are asked for; those whose results are not there yet stand in `in_work` by their ids."""
    for task in tasks:
        in_work[task.task_id] = task
        yield task
