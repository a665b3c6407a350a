"""The call index, compared with looking at all workers."""

import random
from collections import Counter
from typing import Any

import pytest

from stages.executors.call_index import CallIndex
from stages.executors.cluster import Shape
from stages.executors.queues import Item, PendingTask, TaskBlock
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.tasks import Task

SHAPES = [Shape(1, 0), Shape(2, 0)]


def call(rng: random.Random) -> RemoteCall:
    """Any call; some with a task that is in quarantine."""
    kind, stage = rng.choice(list(CallKind)), rng.randrange(2)
    pending = PendingTask(Item("i", Task("i")), (), TaskBlock(None, 0, 1), 0, "")
    pending.is_quarantined = rng.random() < 0.2
    reference: Any = object()  # stands for the reference to an answer, of which nothing is asked
    waits = rng.random() < 0.3
    return RemoteCall(kind, reference, run_id=rng.choice("ab"), stage=stage, tasks=[pending], waits=waits)


def step(rng: random.Random, index: CallIndex, workers: list[WorkerHandle]) -> None:
    """Add or remove a worker or a call."""
    action = rng.random()
    if action < 0.15 or not workers:
        worker = WorkerHandle("w", rng.choice(SHAPES), None, [call(rng) for _ in range(rng.randrange(2))])
        workers.append(worker)
        index.add_worker(worker)
    elif action < 0.25:
        index.remove_worker(workers.pop(rng.randrange(len(workers))))
    elif action < 0.65:
        worker = rng.choice(workers)
        worker.calls.append(call(rng))
        index.add(worker, worker.calls[-1])
    elif (worker := rng.choice(workers)).calls:
        index.remove(worker, worker.calls.pop(rng.randrange(len(worker.calls))))


def check(index: CallIndex, workers: list[WorkerHandle]) -> None:
    calls = [(worker, each) for worker in workers for each in worker.calls]
    assert index.in_flight == {each.result_ref: (worker, each) for worker, each in calls}
    assert sorted(map(id, index.idle())) == sorted(id(worker) for worker in workers if not worker.calls)
    for shape in SHAPES:
        assert index.has_idle(shape) == any(each.shape == shape and not each.calls for each in workers)
    held = {id(worker) for worker, each in calls if any(task.is_quarantined for task in each.tasks)}
    assert {id(worker) for worker in index.in_quarantine()} == held
    assert index.by_shape() == Counter(worker.shape for worker in workers)
    for most in range(4):
        below = [worker for worker in workers if sum(not each.waits for each in worker.calls) < most]
        assert sorted(map(id, index.loaded_below(most))) == sorted(map(id, below))
    for kind in CallKind:
        having = [worker for worker in workers if worker.is_in(kind)]
        assert {id(worker) for worker in index.having(kind)} == set(map(id, having))
        assert index.has(kind) == bool(having)
        assert [index.num_having(kind, shape) for shape in SHAPES] == [
            sum(worker.shape == shape for worker in having) for shape in SHAPES
        ]
        for run_id in "ab":
            same = [each for _, each in calls if (each.kind, each.run_id) == (kind, run_id)]
            assert [index.num_calls(kind, run_id, stage) for stage in range(2)] == [
                sum(each.stage == stage for each in same) for stage in range(2)
            ]
    for shape in SHAPES:
        staying = [each for each in workers if each.shape == shape and not each.is_in(CallKind.SHUT_DOWN)]
        assert index.num_of_shape(shape) == len(staying)


@pytest.mark.parametrize("seed", range(5))
def test_call_index_says_what_a_look_at_all_workers_says(seed: int) -> None:
    rng = random.Random(seed)
    index, workers = CallIndex(), list[WorkerHandle]()
    for number in range(300):
        step(rng, index, workers)
        if number % 10 == 0:
            check(index, workers)
    for worker in workers:
        index.remove_worker(worker)
    check(index, [])
