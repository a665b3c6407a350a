"""What a call of a worker is handed of a batch: its tasks, from blocks of the object store and from the driver."""

import pickle
from typing import Any

from stages.executors.dispatcher import task_arguments
from stages.executors.queues import Item, PendingTask, TaskBlock
from stages.media.clip_tasks import FRAME_COLUMNS, clip_task
from stages.tasks import Task


def pending(block: TaskBlock, index: int) -> PendingTask:
    return PendingTask(Item("i", Task("i")), (), block, index, "")


def test_tasks_from_the_driver_are_one_argument_and_all_are_found_again() -> None:
    given = [TaskBlock([Task(name)], 0, 1) for name in "abc"]
    first: Any
    second: Any
    first, second = object(), object()  # references to objects in the store, which Ray resolves
    stored: dict[Any, list[Task]] = {first: [Task("d"), Task("e")], second: [Task("f")]}
    blocks = [TaskBlock(ref, 0, 2) for ref in stored]
    tasks = [
        pending(blocks[0], 1),
        pending(given[0], 0),
        pending(blocks[1], 0),
        pending(given[1], 0),
        pending(blocks[0], 0),
        pending(given[2], 0),
    ]
    indexes, *arguments = task_arguments([tasks[:4], tasks[4:]])
    assert arguments == [[Task("a"), Task("b"), Task("c")], first, second]
    resolved: list[Any] = [stored.get(each) if not isinstance(each, list) else each for each in arguments]
    names = ["".join(resolved[block][index].task_id for block, index in batch) for batch in indexes]
    assert names == ["eafb", "dc"]


def test_tasks_about_videos_are_pickled_and_come_out_as_they_were() -> None:
    row = {"video_id": "v", "uri": "u", "partition": "p", "clip_id": "c", "time_base": "1/25"}
    numbers = {name: number for number, name in enumerate(("start_pts", "end_pts", "start_frame", "end_frame"))}
    tasks = [clip_task({**row, **numbers, "scores": {"a": 0.5, "b": None}}, f"p/{name}") for name in "ab"]
    indexes, packed = task_arguments([[pending(TaskBlock([task], 0, 1), 0) for task in tasks]])
    assert indexes == [[(0, 0), (0, 1)]]
    assert pickle.loads(packed) == tasks


def test_tasks_of_other_classes_are_left_to_ray() -> None:
    """Ray's pickler takes classes that a worker cannot import."""
    tasks = [Task("a"), clip_task({**dict.fromkeys(FRAME_COLUMNS, 0), "time_base": "1"}, "b")]
    assert task_arguments([[pending(TaskBlock([task], 0, 1), 0) for task in tasks]])[1] == tasks


def test_a_batch_of_either_kind_alone_has_no_empty_argument() -> None:
    given = TaskBlock([Task("a")], 0, 1)
    ref: Any = object()
    assert task_arguments([[pending(given, 0)]]) == [[[(0, 0)]], [Task("a")]]
    assert task_arguments([[pending(TaskBlock(ref, 0, 1), 3)]]) == [[[(0, 3)]], ref]
