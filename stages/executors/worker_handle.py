"""One worker as the driver sees it: what it was told to do, and what it is ready for."""

import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import ray

from stages.executors.cluster import Shape
from stages.executors.queues import Unit


class Doing(Enum):
    """What a worker was last told to do."""

    START = auto()
    SET_UP = auto()
    BATCH = auto()
    LEAVE = auto()


@dataclass(eq=False, slots=True)
class Call:
    """Something that a worker is at.

    Attributes:
        doing: what.
        answer: resolves when it is done.
        since: when it began, by the monotonic clock.
        run: the run of a pipeline that it is for.
        stage: index in the pipeline.
        units: the batch.
        children: the second value of `Worker.process`.
        peak_bytes: most private memory seen meanwhile.
    """

    doing: Doing
    answer: "ray.ObjectRef[Any]"
    since: float = field(default_factory=time.monotonic)
    run: str = ""
    stage: int = -1
    units: list[Unit] = field(default_factory=lambda: [])
    children: "ray.ObjectRef[Any] | None" = None
    peak_bytes: int = 0


@dataclass(eq=False, slots=True)
class Hand:
    """The driver's view of one worker.

    Attributes:
        worker_id: unique within the session.
        shape: what it takes of the cluster.
        actor: Ray's handle.
        call: what it is at; None while it is idle.
        ready: index of each stage that is set up in it, of the run `ready_run`.
        pid: of its process, where it can be seen from here.
        idle_since: when it finished its last call.
        idle_after: run and stage of that call, where it was a batch.
        beats: heartbeats when last asked.
        progress_at: when that figure last moved.
        is_parting: it is to leave after the batch that it is at.
        question: a `poll` on its way, about the call that it is at.
        asked_at: when the last one was put.
    """

    worker_id: str
    shape: Shape
    actor: Any
    call: Call | None
    ready: set[int] = field(default_factory=lambda: set())
    ready_run: str = ""
    pid: int | None = None
    idle_since: float = 0.0
    idle_after: tuple[str, int] | None = None
    beats: int = 0
    progress_at: float = 0.0
    is_parting: bool = False
    question: "ray.ObjectRef[Any] | None" = None
    asked_at: float = 0.0

    def is_at(self, doing: Doing) -> bool:
        """Whether this is what it was last told and has not finished."""
        return self.call is not None and self.call.doing is doing

    def wait_longer(self, seconds: float, now: float) -> None:
        """Give it so many seconds more for what it is at, as if that had begun later."""
        self.progress_at = min(now, self.progress_at + seconds)
        if self.call is not None:
            self.call.since = min(now, self.call.since + seconds)

    def is_ready(self, run: str, stage: int) -> bool:
        """Whether a stage of a run is set up in it."""
        return self.ready_run == run and stage in self.ready

    def note_ready(self, run: str, stage: int) -> None:
        """Note that a stage is set up in it, and that those of other runs are not any more."""
        if self.ready_run != run:
            self.ready_run, self.ready = run, set()
        self.ready.add(stage)
