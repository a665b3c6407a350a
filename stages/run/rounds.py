"""Runs a pipeline, round after round where it wants that."""

from collections.abc import Generator, Iterable

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
    following: list[Task] = list(tasks)
    while following:
        by_id, following = {task.task_id: task for task in following}, []
        for result in executor.run(pipeline, list(by_id.values()), stats):
            task = pipeline.again(by_id[result.task_id], result) if result is not None else None
            if task is None:
                yield result
            else:
                following.append(task)
