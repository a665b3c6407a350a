"""Queues form batches of one group, count bytes while an object is held, and keep requeued tasks apart."""

import random
from collections import Counter

import pytest

from stages.executors.queues import Item, PendingTask, StageQueue, TaskBlock
from stages.tasks import Task


def pending(*groups: str, nbytes: int = 10) -> list[PendingTask]:
    """Tasks of one block."""
    block = TaskBlock([], nbytes, len(groups))
    return [
        PendingTask(Item(str(index), Task(str(index))), (), block, index, group) for index, group in enumerate(groups)
    ]


def queue_of(waiting: list[PendingTask], batch_size: int = 2) -> StageQueue:
    queue = StageQueue(batch_size)
    queue.add_block(waiting[0].block)
    for task in waiting:
        queue.push(task)
    return queue


def next_batch(queue: StageQueue, *growing: str) -> list[int]:
    """Indexes of its tasks in their block."""
    chosen = queue.select(lambda group: group in growing)
    return [task.index for task in queue.pop_batch(chosen)] if chosen else []


@pytest.mark.parametrize(
    ("growing", "batches"),
    [((), [[0], [1, 2], [3]]), (("x",), [[1, 2], [3], []]), (("x", "y"), [[1, 2], [], []])],
)
def test_queue_gives_full_batches_and_those_that_will_not_grow(
    growing: tuple[str, ...], batches: list[list[int]]
) -> None:
    queue = queue_of(pending("x", "y", "y", "y"))
    assert [next_batch(queue, *growing) for _ in range(3)] == batches


def test_queue_holds_bytes_until_the_last_task_of_a_block_is_done() -> None:
    waiting = pending("x", "x", nbytes=10)
    queue = queue_of(waiting)
    assert next_batch(queue) == [0, 1]
    queue.mark_done(waiting[0])
    assert (queue.held_bytes, queue.is_done) == (10, False)
    queue.mark_done(waiting[1])
    assert (queue.held_bytes, queue.peak_bytes, queue.is_done) == (0, 10, True)
    assert waiting[0].block.tasks is None


def test_queue_gives_requeued_tasks_one_at_a_time_and_none_of_the_quarantine() -> None:
    waiting = pending("x", "x", "x")
    queue = queue_of(waiting, batch_size=3)
    assert next_batch(queue) == [0, 1, 2]
    waiting[2].is_quarantined = True
    for task in waiting:
        queue.requeue(task)
    assert (queue.num_waiting, queue.num_batches) == (2, 2)
    assert [next_batch(queue, "x") for _ in range(3)] == [[0], [1], []]


def test_number_of_batches_is_that_of_the_tasks_of_each_group() -> None:
    rng = random.Random(0)
    queue, waiting = StageQueue(3), list[PendingTask]()
    for _ in range(500):
        if rng.random() < 0.6:
            waiting += pending(rng.choice("xyz"))
            queue.push(waiting[-1])
        elif rng.random() < 0.7:
            if chosen := queue.select(lambda _: rng.random() < 0.5):
                taken = queue.pop_batch(chosen)
                waiting = [task for task in waiting if task not in taken]
        elif waiting:
            removed = queue.remove(rng.choice(waiting).item)
            waiting = [task for task in waiting if task not in removed]
        sizes = Counter(task.group for task in waiting).values()
        assert queue.num_batches == sum((size + 2) // 3 for size in sizes)


def test_item_orders_outcomes_by_path() -> None:
    item = Item("x", Task("x"), outcomes={(1, 0): [], (0, 10): [{"a": 1}], (0, 2): [{"a": 2}]})
    assert item.result().outcomes == ([{"a": 2}], [{"a": 1}], [])


def test_tasks_of_an_item_are_removed_wherever_they_wait() -> None:
    ours, other, single, quarantined = pending("g", "g", "g", "g")
    single.item = quarantined.item = ours.item
    quarantined.is_quarantined = True
    queue = queue_of([ours, other, single, quarantined])
    held = queue.held_bytes
    for _ in range(2):
        queue.pop_batch(queue.select(lambda _: False) or pytest.fail("no batch"))
    for task in (ours, other):
        queue.push(task)
    for task in (single, quarantined):
        queue.requeue(task)
    assert queue.num_waiting == 3
    assert set(map(id, queue.remove(ours.item))) == {id(ours), id(single), id(quarantined)}
    assert (queue.num_waiting, list(queue.quarantine), queue.held_bytes) == (1, [], held)
    assert queue.pop_batch(queue.select(lambda _: False) or pytest.fail("no batch")) == [other]
