"""The call index: which workers hold which calls, by what is asked of them.

It is kept up to date call by call. With very many workers a turn of the scheduler has no time to look at each.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import ray

from stages.executors.cluster import Shape
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle


class CallIndex:
    """The calls in flight of all workers of a pool.

    Attributes:
        in_flight: worker and call by the reference that resolves when the call is done.
    """

    def __init__(self) -> None:
        self.in_flight: dict[ray.ObjectRef[Any], tuple[WorkerHandle, RemoteCall]] = {}
        self._by_kind: dict[CallKind, Counter[WorkerHandle]] = {kind: Counter() for kind in CallKind}
        self._num_having: Counter[tuple[CallKind, Shape]] = Counter()
        self._by_load: defaultdict[int, dict[WorkerHandle, None]] = defaultdict(dict)
        self._loads: dict[WorkerHandle, int] = {}
        self._num_held: dict[WorkerHandle, int] = {}
        self._idle: defaultdict[Shape, dict[WorkerHandle, None]] = defaultdict(dict)
        self._quarantines: Counter[WorkerHandle] = Counter()
        self._num_of_shape: Counter[Shape] = Counter()
        self._num_calls: Counter[tuple[CallKind, str, int]] = Counter()

    def add_worker(self, worker: WorkerHandle) -> None:
        """Note a worker, and the calls that it holds."""
        self._num_of_shape[worker.shape] += 1
        self._set_load(worker, 0)
        self._num_held[worker] = 0
        self._idle[worker.shape][worker] = None
        for call in worker.calls:
            self.add(worker, call)

    def remove_worker(self, worker: WorkerHandle) -> None:
        """Forget a worker, and the calls that it holds."""
        for call in worker.calls:
            self.remove(worker, call)
        self._num_of_shape[worker.shape] -= 1
        del self._by_load[self._loads.pop(worker)][worker]
        del self._num_held[worker], self._idle[worker.shape][worker]

    def add(self, worker: WorkerHandle, call: RemoteCall) -> None:
        """Note a call of a worker."""
        self.in_flight[call.result_ref] = (worker, call)
        self._count(worker, call, 1)

    def remove(self, worker: WorkerHandle, call: RemoteCall) -> None:
        """Forget a call that ended."""
        del self.in_flight[call.result_ref]
        self._count(worker, call, -1)

    def _count(self, worker: WorkerHandle, call: RemoteCall, change: int) -> None:
        self._num_calls[call.kind, call.run_id, call.stage] += change
        before = self._by_kind[call.kind][worker]
        _add(self._by_kind[call.kind], worker, change)
        if not before or not before + change:
            self._num_having[call.kind, worker.shape] += change
        if any(task.is_quarantined for task in call.tasks):
            _add(self._quarantines, worker, change)
        if not call.waits:
            self._set_load(worker, self._loads[worker] + change)
        held = self._num_held[worker] = self._num_held[worker] + change
        if not held:
            self._idle[worker.shape][worker] = None
        elif held == change:  # its first call
            del self._idle[worker.shape][worker]

    def _set_load(self, worker: WorkerHandle, load: int) -> None:
        if worker in self._loads:
            del self._by_load[self._loads[worker]][worker]
        self._loads[worker] = load
        self._by_load[load][worker] = None

    def num_calls(self, kind: CallKind, run_id: str, stage: int) -> int:
        """Number of calls of a kind for a stage of a run."""
        return self._num_calls[kind, run_id, stage]

    def num_of_shape(self, shape: Shape) -> int:
        """Number of workers of a shape that are not shutting down."""
        return self._num_of_shape[shape] - self.num_having(CallKind.SHUT_DOWN, shape)

    def by_shape(self) -> Counter[Shape]:
        """Number of workers by shape, those that are shutting down included."""
        return +self._num_of_shape

    def num_having(self, kind: CallKind, shape: Shape) -> int:
        """Number of workers of a shape with a call of a kind."""
        return self._num_having[kind, shape]

    def having(self, kind: CallKind) -> list[WorkerHandle]:
        """Workers with a call of a kind."""
        return list(self._by_kind[kind])

    def has(self, kind: CallKind) -> bool:
        """Whether any worker has a call of a kind."""
        return bool(self._by_kind[kind])

    def idle(self) -> list[WorkerHandle]:
        """Workers without a call."""
        return [worker for of_shape in self._idle.values() for worker in of_shape]

    def has_idle(self, shape: Shape) -> bool:
        """Whether a worker of a shape has no call."""
        return bool(self._idle[shape])

    def loaded_below(self, num_calls: int) -> Iterator[WorkerHandle]:
        """Workers that hold fewer calls than this, not counting those that wait for others."""
        for load in range(num_calls):
            yield from self._by_load[load]

    def in_quarantine(self) -> list[WorkerHandle]:
        """Workers that hold a task beside which nothing else may run on their node."""
        return list(self._quarantines)


def _add(counter: Counter[WorkerHandle], worker: WorkerHandle, change: int) -> None:
    """Change a count, and keep none of zero."""
    counter[worker] += change
    if not counter[worker]:
        del counter[worker]
