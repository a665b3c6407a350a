"""The order in which workers are given batches, compared with sorting them anew for each batch."""

import random

import pytest

from stages.executors.candidates import Candidates
from stages.executors.cluster import Shape
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle

RUN = "run"


def workers(seed: int) -> list[WorkerHandle]:
    """Some idle, some with one or two batches or a set-up; the stage is set up in half of them."""
    rng = random.Random(seed)
    made: list[WorkerHandle] = []
    for number in range(40):
        kind = rng.choice([CallKind.BATCH, CallKind.BATCH, CallKind.BATCH, CallKind.SET_UP])
        calls = [RemoteCall(kind, None, stage=0) for _ in range(rng.randrange(3))]  # type: ignore[arg-type]
        worker = WorkerHandle(str(number), Shape(1, 0), None, calls, idle_since=rng.random())
        if rng.random() < 0.5:
            worker.mark_ready(RUN, 0)
        made.append(worker)
    return made


def first_by_sorting(pool: list[WorkerHandle], most: int, *, is_ready: bool) -> WorkerHandle | None:
    found = [each for each in pool if each.is_ready(RUN, 0) == is_ready and each.has_room_for(0, most, waits=False)]
    return min(found, key=lambda each: (len(each.calls), -each.idle_since), default=None)


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_workers_are_taken_as_if_they_were_sorted_for_each_batch(seed: int, most: int) -> None:
    pool = workers(seed)
    candidates = Candidates(
        pool, lambda each: each.has_room_for(0, most, waits=False), lambda each: each.is_ready(RUN, 0)
    )
    taken = 0
    while (worker := candidates.pop_ready()) is not None:
        assert worker is first_by_sorting(pool, most, is_ready=True)
        worker.calls.append(RemoteCall(CallKind.BATCH, None, stage=0))  # type: ignore[arg-type]
        candidates.put_back(worker)
        taken += 1
    assert taken > 0
    assert first_by_sorting(pool, most, is_ready=True) is None
    while (worker := candidates.pop_other()) is not None:
        assert worker is first_by_sorting(pool, most, is_ready=False)
        worker.calls.append(RemoteCall(CallKind.SET_UP, None, stage=0))  # type: ignore[arg-type]
    assert first_by_sorting(pool, most, is_ready=False) is None
