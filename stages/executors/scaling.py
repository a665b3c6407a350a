"""How many workers of which shape: grown where work waits, taken from where none does."""

import logging
import time
from collections import Counter

from stages.executors.cluster import Shape
from stages.executors.worker_handle import Doing
from stages.executors.worker_pool import Crew

logger = logging.getLogger(__name__)

FULL_S = 2.0
"""A pool grows when more waited than its workers could take for so long."""
IDLE_S = 10.0
"""A worker may go for one of another shape after so long without work; work may wait so long for its first worker."""


class Staffing:
    """Decides on the workers of one run of a pipeline.

    Begins with as many as there is work and room for, adds one where work has waited for `FULL_S`, replaces what
    died. Where two shapes do not fit the cluster together they take turns: whoever has nothing to do makes room, and
    upstream makes room for a downstream stage that has waited for `IDLE_S`.
    """

    def __init__(self, crew: Crew, shapes: list[Shape]) -> None:
        self._crew = crew
        self._shapes = shapes
        self._targets: dict[Shape, int] = {}
        self._full_since: dict[Shape, float] = {}
        self._starved_since: dict[Shape, float] = {}

    def tend(self, batches: list[int]) -> None:
        """Start, or send away, a few workers; `batches` counts those that could go now, by stage."""
        waiting: Counter[Shape] = Counter()
        deepest: dict[Shape, int] = {}
        for stage, (shape, count) in enumerate(zip(self._shapes, batches, strict=True)):
            waiting[shape] += count
            if count or shape not in deepest:
                deepest[shape] = stage
        for shape in sorted(deepest, key=lambda shape: -deepest[shape]):
            idle = any(hand.shape == shape for hand in self._crew.idle())
            if idle or not waiting[shape]:
                self._full_since.pop(shape, None)
                self._starved_since.pop(shape, None)
            else:
                self._grow(shape, waiting[shape])
                self._make_room(shape, waiting, deepest[shape])

    def _grow(self, shape: Shape, batches: int) -> None:
        there = len(self._crew.of(shape))
        wish = there + max(0, batches - len(self._crew.coming(shape)))
        target = self._targets.get(shape, wish)
        if there >= target and self._is_full(shape):
            target = there + 1
        while there < min(wish, target) and self._crew.has_room(shape, set(self._shapes)):
            self._crew.start(shape)
            there += 1
        self._targets[shape] = max(1, min(target, there) if shape not in self._targets else target)

    def _is_full(self, shape: Shape) -> bool:
        """Whether work of this shape has waited long enough; begins to count anew when it says so."""
        since = self._full_since.setdefault(shape, time.monotonic())
        if time.monotonic() - since < FULL_S:
            return False
        del self._full_since[shape]
        return True

    def _make_room(self, shape: Shape, waiting: Counter[Shape], stage: int) -> None:
        """Send one worker of another shape away, where this shape needs its place more."""
        hands = self._crew.of(shape)
        is_up = any(not hand.is_at(Doing.START) for hand in hands)
        spare = [hand for hand in self._crew.idle() if hand.shape != shape and not waiting[hand.shape]]
        now = time.monotonic()
        if is_up:
            self._starved_since.pop(shape, None)
            spare = [hand for hand in spare if now - hand.idle_since > IDLE_S]
        if any(hand.is_at(Doing.LEAVE) for hand in self._crew.hands) or self._crew.has_room(shape, set()):
            return
        if spare and (is_up or not hands):
            self._crew.dismiss(spare[-1])
        elif not is_up and now - self._starved_since.setdefault(shape, now) > IDLE_S:
            self._starved_since[shape] = now
            self._take_turns(shape, stage)

    def _take_turns(self, shape: Shape, stage: int) -> None:
        """Let a worker that is at a stage upstream go after its batch, and ask for one of this shape in its place."""
        logger.warning("Work has waited %g s for a worker of %s: the cluster has no room", IDLE_S, shape)
        upstream = [hand for hand in self._crew.busy() if hand.shape != shape and hand.call and hand.call.stage < stage]
        places = max(1, round(shape.cpus / max(upstream[0].shape.cpus, 1))) if upstream else 0
        for hand in upstream[:places]:
            hand.is_parting = True
        if not self._crew.of(shape) and len(self._crew.hands) < self._crew.capacity:
            self._crew.start(shape)  # waits in Ray until there is room, which is also what makes a cluster grow
