"""Worker limits: which workers exceed a limit of time or memory."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import ray
from ray.exceptions import RayError

from stages.errors import Reason
from stages.executors.exit_reasons import ExitReason
from stages.executors.node_polls import NodePolls
from stages.executors.process_memory import private_bytes
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.params import ExecutorParams
from stages.resources import GIB

POLL_INTERVAL_S = 1.0
POLL_COST_S = 0.0005
"""CPU time of the driver that a poll takes."""
MAX_ASKED_ALONE = 20
"""Workers up to which each is asked by itself. Of more, one of each node is asked, and tells of all on its node."""
MAX_CHECKED = 500
"""Most workers on other machines that are looked at in one go; of more, those whose turn it is."""
POLL_SHARE = 0.01
"""Share of the driver's time that polls may take; very many nodes are asked less often."""
SETUP_STALL_FACTOR = 5
"""A setup may take this multiple of `stall_timeout_s`: it downloads weights and sends no heartbeats."""
START_LIMIT_S = 600.0
"""Time limit for the start of a worker, which waits for a new machine on an autoscaling cluster."""
SHUTDOWN_LIMIT_S = 10.0


class WorkerLimits:
    """Asks workers for signs of progress, and measures their memory."""

    def __init__(self, params: ExecutorParams) -> None:
        self._params = params
        self._checked_at = time.monotonic()
        self._node_polls = NodePolls()
        self._asks_alone = True
        self._next = 0

    def exceeded(
        self,
        workers: Sequence[WorkerHandle],
        visible: Iterable[WorkerHandle] = (),
        by_node: Mapping[str, Collection[WorkerHandle]] = MappingProxyType({}),
    ) -> Iterator[tuple[WorkerHandle, ExitReason]]:
        """Yield workers that exceed a limit. To be called a few times a second; polls each about once a second.

        Args:
            workers: all of them.
            visible: those of this machine, whose memory the system tells; they are looked at each time.
            by_node: those that have started, by node.
        """
        now = time.monotonic()
        if now - self._checked_at > 2 * POLL_INTERVAL_S:
            # No poll was made meanwhile (the caller was committing, for example), so a stall cannot be inferred.
            for worker in workers:
                worker.extend_deadlines(now - self._checked_at, now)
        self._checked_at = now
        self._asks_alone = len(workers) <= MAX_ASKED_ALONE
        if not self._asks_alone:
            self._poll_nodes(by_node, now)
        for worker in self.in_turn(workers, visible):
            exit_reason = self._exceeded_limit(worker, worker.calls[0], now) if worker.calls else None
            if exit_reason is not None:
                yield worker, exit_reason

    def in_turn(
        self, workers: Sequence[WorkerHandle], visible: Iterable[WorkerHandle] = ()
    ) -> Collection[WorkerHandle]:
        """The visible workers, and some of all, one after another."""
        if len(workers) <= MAX_CHECKED:
            return workers
        begin, end = self._next, self._next + MAX_CHECKED
        self._next = end if end < len(workers) else 0
        return dict.fromkeys([*workers[begin:end], *visible])

    def _exceeded_limit(self, worker: WorkerHandle, call: RemoteCall, now: float) -> ExitReason | None:
        if call.kind is CallKind.START:
            return _stalled(now - call.started_at, START_LIMIT_S, "it did not start")
        if call.kind is CallKind.SHUT_DOWN:
            return _stalled(now - call.started_at, SHUTDOWN_LIMIT_S, "it did not leave")
        memory = private_bytes(worker.pid) if worker.pid else None
        polled_memory = self._poll(worker, call, now) if self._asks_alone else 0
        worker.note_memory(memory or polled_memory)
        limit_gb = self._params.worker_memory_gb
        if call.peak_bytes > limit_gb * GIB:
            return ExitReason(Reason.OUT_OF_MEMORY, f"its private memory went above {limit_gb:g} GiB")
        factor = SETUP_STALL_FACTOR if worker.is_in(CallKind.SET_UP) else 1
        return _stalled(now - worker.progress_at, factor * self._params.stall_timeout_s, "it made no progress")

    def _poll_nodes(self, by_node: Mapping[str, Collection[WorkerHandle]], now: float) -> None:
        interval_s = max(POLL_INTERVAL_S, len(by_node) * POLL_COST_S / POLL_SHARE)
        for worker, memory in self._node_polls.update(by_node, now, min(interval_s, self._max_interval_s)):
            worker.note_memory(memory if worker.pid is None else 0)  # else the system tells it now

    @property
    def _max_interval_s(self) -> float:
        """Seconds between two polls of a worker, so that it is asked several times before it counts as stalled."""
        return self._params.stall_timeout_s / 4

    def _poll(self, worker: WorkerHandle, call: RemoteCall, now: float) -> int:
        """Read the last poll of a worker, if it is answered, and make the next; returns private memory, or 0."""
        memory = 0
        if worker.pending_poll is not None and ray.wait([worker.pending_poll], timeout=0)[0]:
            try:
                beats, memory, call.counters = ray.get(worker.pending_poll)
            except RayError:
                beats = worker.beats  # the worker died, which its call reports
            if beats != worker.beats:
                worker.beats, worker.progress_at = beats, now
            worker.pending_poll = None
        interval_s = min(POLL_INTERVAL_S, self._max_interval_s)
        if worker.pending_poll is None and now - max(worker.polled_at, call.started_at) > interval_s:
            worker.pending_poll, worker.polled_at = worker.actor.poll.remote(), now
        return memory


def _stalled(seconds: float, limit_s: float, what: str) -> ExitReason | None:
    return ExitReason(Reason.STALLED, f"{what} for {limit_s:g} s") if seconds > limit_s else None
