"""The driver's view of one worker: its current call, the stages set up in it, its last progress."""

import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import ray

from stages.executors.cluster import Shape
from stages.executors.queues import PendingTask


class CallKind(Enum):
    """Purpose of a call to a worker."""

    START = auto()
    SET_UP = auto()
    BATCH = auto()
    SHUT_DOWN = auto()


@dataclass(eq=False, slots=True)
class RemoteCall:
    """A call to a worker that is in flight.

    Attributes:
        kind: its purpose.
        result_ref: resolves when the call is done.
        started_at: by the monotonic clock.
        run_id: id of the pipeline run that it belongs to; where it is made for a later one, `prepares`.
        stage: index in the pipeline.
        tasks: the batch.
        waits: whether it is processed beside a call that computes, see `ProcessingStage.waits_for_others`.
        children_ref: the second value of `Worker.process`; None for a call of the last stage.
        peak_bytes: largest private memory seen during the call.
        counters: what the stage had counted of the batch at the last poll.
        prepares: key of the stage that is set up for a later run; empty for other calls.
    """

    kind: CallKind
    result_ref: "ray.ObjectRef[Any]"
    started_at: float = field(default_factory=time.monotonic)
    run_id: str = ""
    stage: int = -1
    tasks: list[PendingTask] = field(default_factory=lambda: [])
    waits: bool = False
    children_ref: "ray.ObjectRef[Any] | None" = None
    peak_bytes: int = 0
    counters: dict[str, float] = field(default_factory=lambda: {})
    prepares: str = ""

    @property
    def is_suspect(self) -> bool:
        """Whether its task may have ended a worker, so that it must be the only call of one."""
        return any(task.is_suspect for task in self.tasks)


@dataclass(eq=False, slots=True)
class WorkerHandle:
    """The driver's view of one worker.

    Attributes:
        worker_id: unique within the session.
        shape: CPUs and GPUs that it holds.
        actor: Ray's handle.
        calls: the calls in flight, the oldest first; none while the worker is idle. Only batches are several.
        ready_stages: indexes of the stages of the run `ready_run_id` that are set up in it.
        prepared: keys of stages that were set up in it for a later run.
        node_id: Ray's id of its node, once it has started.
        pid: process id, if the process runs on this machine and is visible.
        idle_since: time when its last call ended.
        idle_after: run and stage of that call, if it was a batch.
        beats: number of heartbeats at the last poll.
        progress_at: time when `beats` last changed.
        is_draining: true if it shuts down after its current batch.
        pending_poll: call of `Worker.poll` in flight, made since the worker was last idle.
        polled_at: time when the last poll was made.
    """

    worker_id: str
    shape: Shape
    actor: Any
    calls: list[RemoteCall]
    ready_stages: set[int] = field(default_factory=lambda: set())
    ready_run_id: str = ""
    prepared: set[str] = field(default_factory=lambda: set())
    node_id: str = ""
    pid: int | None = None
    idle_since: float = 0.0
    idle_after: tuple[str, int] | None = None
    beats: int = 0
    progress_at: float = 0.0
    is_draining: bool = False
    pending_poll: "ray.ObjectRef[Any] | None" = None
    polled_at: float = 0.0

    def is_in(self, kind: CallKind) -> bool:
        """Whether a call of this kind is in flight."""
        return any(call.kind is kind for call in self.calls)

    def has_room_for(self, stage: int, batches_in_flight: int, *, waits: bool) -> bool:
        """Whether it can be handed one more batch of a stage beside those that it holds.

        Args:
            stage: index in the pipeline of the run whose batches it holds.
            batches_in_flight: largest number of batches of that stage in one worker.
            waits: see `RemoteCall.waits`; other batches are computed one after another, and stand in one queue.
        """
        if self.is_draining or any(call.kind is not CallKind.BATCH or call.is_suspect for call in self.calls):
            return False
        queued = [call for call in self.calls if call.waits == waits]
        return len(queued) < batches_in_flight and all(call.stage == stage or waits for call in queued)

    def note_memory(self, private_bytes: int) -> None:
        """Note how much private memory its process was seen to have."""
        for call in self.calls:
            call.peak_bytes = max(call.peak_bytes, private_bytes)

    def extend_deadlines(self, seconds: float, now: float) -> None:
        """Extend all time limits of the current calls by some seconds, as if they had begun later."""
        self.progress_at = min(now, self.progress_at + seconds)
        for call in self.calls:
            call.started_at = min(now, call.started_at + seconds)

    def is_ready(self, run_id: str, stage: int) -> bool:
        """Whether a stage of a run is set up in it."""
        return self.ready_run_id == run_id and stage in self.ready_stages

    def mark_ready(self, run_id: str, stage: int) -> None:
        """Note that a stage is set up in it, which tore down the stages of other runs."""
        if self.ready_run_id != run_id:
            self.ready_run_id, self.ready_stages = run_id, set()
        self.ready_stages.add(stage)
