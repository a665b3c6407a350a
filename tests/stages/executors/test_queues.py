"""Queues form batches of one group, count bytes while an object is held, and keep the suspect apart."""

import pytest

from stages.executors.queues import Item, Parcel, StageQueue, Unit


def units(*groups: str, nbytes: int = 10) -> list[Unit]:
    """Tasks of one parcel."""
    parcel = Parcel([], nbytes, len(groups))
    return [Unit(Item(str(place)), (), parcel, place, group) for place, group in enumerate(groups)]


def queue_of(waiting: list[Unit], batch_size: int = 2) -> StageQueue:
    queue = StageQueue(batch_size)
    queue.add_parcel(waiting[0].parcel)
    for unit in waiting:
        queue.push(unit)
    return queue


def places(queue: StageQueue, *growing: str) -> list[int]:
    """Of the next batch."""
    chosen = queue.choose(lambda group: group in growing)
    return [unit.place for unit in queue.take(chosen)] if chosen else []


@pytest.mark.parametrize(
    ("growing", "batches"),
    [((), [[0], [1, 2], [3]]), (("x",), [[1, 2], [3], []]), (("x", "y"), [[1, 2], [], []])],
)
def test_queue_gives_full_batches_and_those_that_will_not_grow(
    growing: tuple[str, ...], batches: list[list[int]]
) -> None:
    queue = queue_of(units("x", "y", "y", "y"))
    assert [places(queue, *growing) for _ in range(3)] == batches


def test_queue_holds_bytes_until_the_last_task_of_a_parcel_is_done() -> None:
    waiting = units("x", "x", nbytes=10)
    queue = queue_of(waiting)
    assert places(queue) == [0, 1]
    queue.close(waiting[0])
    assert (queue.held_bytes, queue.is_done) == (10, False)
    queue.close(waiting[1])
    assert (queue.held_bytes, queue.peak_bytes, queue.is_done) == (0, 10, True)
    assert waiting[0].parcel.tasks is None


def test_queue_gives_suspects_one_at_a_time_and_no_outcasts() -> None:
    waiting = units("x", "x", "x")
    queue = queue_of(waiting, batch_size=3)
    assert places(queue) == [0, 1, 2]
    waiting[2].is_outcast = True
    for unit in waiting:
        queue.push_again(unit)
    assert (queue.num_waiting, queue.num_batches) == (2, 2)
    assert [places(queue, "x") for _ in range(3)] == [[0], [1], []]


def test_item_orders_outcomes_by_path() -> None:
    item = Item("x", outcomes={(1, 0): [], (0, 10): [{"a": 1}], (0, 2): [{"a": 2}]})
    assert item.result().outcomes == ([{"a": 2}], [{"a": 1}], [])
