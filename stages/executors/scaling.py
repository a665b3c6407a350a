"""Scaling: decides how many workers of each shape run. Adds workers if batches wait, and removes idle ones."""

import logging
import time
from collections import Counter

from stages.executors.cluster import Node, Shape
from stages.executors.worker_handle import CallKind
from stages.executors.worker_pool import WorkerPool

logger = logging.getLogger(__name__)

SCALE_UP_AFTER_S = 2.0
"""A worker is added once more batches than the workers could take have waited for this long."""
LOOK_COST_S = 5e-6
"""CPU time, for each worker that there is, of a look for the place of another one."""
LOOK_SHARE = 0.01
"""Share of the driver's time that looks in vain may take."""
IDLE_LIMIT_S = 10.0
"""Idle time after which a worker may be replaced by one of another shape; also the longest wait for a first worker."""


class WorkerScaler:
    """Decides on the workers of one run of a pipeline.

    Begins with as many as there are batches and room for, doubles them where batches have waited for
    `SCALE_UP_AFTER_S`, replaces dead ones. Where two shapes do not fit the cluster together they take turns: an idle
    worker is shut down for a shape with batches, and a busy upstream one for a downstream stage that has waited for
    `IDLE_LIMIT_S`.
    """

    def __init__(self, pool: WorkerPool, shapes: list[Shape]) -> None:
        self._pool = pool
        self._shapes = shapes
        self._targets: dict[Shape, int] = {}
        self._backlog_since: dict[Shape, float] = {}
        self._starved_since: dict[Shape, float] = {}
        self._held_back_until: dict[Shape, float] = {}
        self._looked: dict[Shape, tuple[float, int, list[Node]]] = {}

    def scale(self, batches: list[int]) -> None:
        """Start or shut down a few workers; `batches` counts those that could be dispatched now, by stage."""
        waiting: Counter[Shape] = Counter()
        last_stage: dict[Shape, int] = {}
        for stage, (shape, count) in enumerate(zip(self._shapes, batches, strict=True)):
            waiting[shape] += count
            if count or shape not in last_stage:
                last_stage[shape] = stage
        self._pool.request.update(self._pool.calls, waiting)
        for shape in sorted(last_stage, key=lambda shape: -last_stage[shape]):
            if self._pool.calls.has_idle(shape) or not waiting[shape] or self._is_held_back(shape):
                self._backlog_since.pop(shape, None)
                self._starved_since.pop(shape, None)
            else:
                self._scale_up(shape, waiting[shape])
                self._make_room(shape, waiting, last_stage[shape])

    def hold_back(self, shape: Shape, seconds: float) -> None:
        """Start no worker of a shape for so long, as long as there is one."""
        self._held_back_until[shape] = time.monotonic() + seconds

    def _is_held_back(self, shape: Shape) -> bool:
        return self._held_back_until.get(shape, 0.0) > time.monotonic() and bool(self._num(shape))

    def _num(self, shape: Shape) -> int:
        """Workers of a shape that are not shutting down."""
        return self._pool.calls.num_of_shape(shape)

    def _scale_up(self, shape: Shape, batches: int) -> None:
        current = self._num(shape)
        wanted = current + max(0, batches - self._pool.num_starting(shape))
        target = self._targets.get(shape, wanted)
        if current >= target and self._has_backlog(shape):
            target = max(current + 1, 2 * current)
        places = None
        while current < min(wanted, target) and (places is not None or self._may_look(shape)):
            if places is None or current == 1:  # against the first worker no room is kept for other shapes
                places = self._pool.places(shape, set(self._shapes))
            if not places.take():
                self._note_no_place(shape)
                break
            self._pool.start_worker(shape)
            current += 1
        self._targets[shape] = max(1, min(target, current) if shape not in self._targets else target)

    def _may_look(self, shape: Shape) -> bool:
        """Whether it is worth to look for a place: not soon after there was none, while nothing has changed.

        A look goes through all workers, which takes long where they are very many.
        """
        until, num_workers, nodes = self._looked.get(shape, (0.0, 0, []))
        is_unchanged = num_workers == len(self._pool.workers) and nodes == self._pool.nodes
        return not is_unchanged or time.monotonic() >= until

    def _note_no_place(self, shape: Shape) -> None:
        num_workers = len(self._pool.workers)
        self._looked[shape] = time.monotonic() + num_workers * LOOK_COST_S / LOOK_SHARE, num_workers, self._pool.nodes

    def _has_backlog(self, shape: Shape) -> bool:
        """Whether batches of this shape have waited for `SCALE_UP_AFTER_S`; restarts the count when they have."""
        since = self._backlog_since.setdefault(shape, time.monotonic())
        if time.monotonic() - since < SCALE_UP_AFTER_S:
            return False
        del self._backlog_since[shape]
        return True

    def _make_room(self, shape: Shape, waiting: Counter[Shape], stage: int) -> None:
        """Shut down one worker of another shape, where this shape needs its room more."""
        num_workers = self._num(shape)
        is_up = num_workers > self._pool.calls.num_having(CallKind.START, shape)
        spare = [worker for worker in self._pool.idle() if worker.shape != shape and not waiting[worker.shape]]
        now = time.monotonic()
        if is_up:
            self._starved_since.pop(shape, None)
            spare = [worker for worker in spare if now - worker.idle_since > IDLE_LIMIT_S]
            if not spare:
                return
        if self._pool.calls.has(CallKind.SHUT_DOWN) or self._pool.places(shape, set()).take():
            return
        if spare and (is_up or not num_workers):
            self._pool.shut_down(spare[-1])
        elif not is_up and now - self._starved_since.setdefault(shape, now) > IDLE_LIMIT_S:
            self._starved_since[shape] = now
            self._preempt_upstream(shape, stage)

    def _preempt_upstream(self, shape: Shape, stage: int) -> None:
        """Drain workers of upstream stages, and ask for a worker of this shape in their place."""
        if self._num(shape):
            why = "Ray has not started it yet, or has no room for it"
        else:
            why = "other workers hold what Ray has"
        logger.warning("Work has waited %g s for a worker with %s: %s", IDLE_LIMIT_S, shape.in_words(), why)
        upstream = [
            worker
            for worker in self._pool.busy()
            if worker.shape != shape and all(call.stage < stage for call in worker.calls)
        ]
        num_drained = max(1, round(shape.cpus / max(upstream[0].shape.cpus, 1))) if upstream else 0
        for worker in upstream[:num_drained]:
            self._pool.drain(worker)
        if not self._num(shape) and len(self._pool.workers) < self._pool.max_workers:
            self._pool.start_worker(shape)  # waits in Ray until there is room, which also makes a cluster grow
