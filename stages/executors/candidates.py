"""Candidates: the workers that can take a batch of one stage, in the order in which they are given work."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable

from stages.executors.worker_handle import WorkerHandle


class Candidates:
    """Workers with room, looked through once for all batches of a turn.

    Those with fewest calls come first, then the one that worked last; those that have the stage set up before others,
    and of these those in which it was prepared.

    Args:
        workers: all that may have room.
        has_room: whether a worker can take a batch of the stage.
        is_ready: whether the stage is set up in a worker.
        is_prepared: whether the stage was set up in a worker for a later run, so that setting it up takes no time.
    """

    def __init__(
        self,
        workers: Iterable[WorkerHandle],
        has_room: Callable[[WorkerHandle], bool],
        is_ready: Callable[[WorkerHandle], bool],
        is_prepared: Callable[[WorkerHandle], bool] = lambda worker: False,
    ) -> None:
        self._has_room = has_room
        self._is_prepared = is_prepared
        self._numbers = itertools.count()
        self._ready: list[tuple[int, float, int, WorkerHandle]] = []
        self._others: list[tuple[int, float, int, WorkerHandle]] = []
        for worker in workers:
            if has_room(worker):
                (self._ready if is_ready(worker) else self._others).append(self._entry(worker))
        heapq.heapify(self._ready)
        heapq.heapify(self._others)

    def _entry(self, worker: WorkerHandle) -> tuple[int, float, int, WorkerHandle]:
        since = math.inf if self._is_prepared(worker) else worker.idle_since
        return len(worker.calls), -since, next(self._numbers), worker

    @property
    def num_ready(self) -> int:
        """Number of workers that have the stage set up."""
        return len(self._ready)

    def pop_ready(self) -> WorkerHandle | None:
        """Take the first worker that has the stage set up; None where none has."""
        return heapq.heappop(self._ready)[-1] if self._ready else None

    def put_back(self, worker: WorkerHandle) -> None:
        """Let a worker that was given a batch be a candidate again, if it still has room."""
        if self._has_room(worker):
            heapq.heappush(self._ready, self._entry(worker))

    def pop_other(self) -> WorkerHandle | None:
        """Take the first worker in which the stage would have to be set up; None where there is none."""
        return heapq.heappop(self._others)[-1] if self._others else None
