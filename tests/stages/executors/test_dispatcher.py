"""Which batches wait for more tasks; the rest of the dispatcher is tested on Ray."""

from collections.abc import Iterable

from stages.executors.dispatcher import Dispatcher
from stages.executors.queues import Item, PendingTask, StageQueue, TaskBlock


def queue(*groups: str) -> StageQueue:
    """A queue with one task of each of these groups."""
    made = StageQueue(batch_size=2)
    for group in groups:
        made.push(PendingTask(Item(group), (), TaskBlock(None, 0, 1), 0, group))
    return made


def may_grow(queues: Iterable[StageQueue], open_group: str | None, group: str) -> bool:
    dispatcher = Dispatcher.__new__(Dispatcher)  # without the Ray that it puts stages into
    dispatcher._queues = list(queues)
    return dispatcher._may_grow(open_group, 1, group)


def test_a_group_grows_while_tasks_of_it_are_before_the_stage() -> None:
    assert may_grow([queue("a"), queue()], None, "a")
    assert may_grow([queue(), queue()], "a", "a")
    assert not may_grow([queue("b"), queue("a")], "b", "a")


def test_tasks_without_group_grow_while_any_task_is_before_the_stage() -> None:
    assert may_grow([queue("a"), queue("")], None, "")
    assert may_grow([queue(), queue("")], "b", "")
    assert not may_grow([queue(), queue("")], None, "")
