"""The worker pool starts, watches and ends the workers of a session. The scheduler decides on their work."""

import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import ray

from stages.executors.call_index import CallIndex
from stages.executors.cluster import Cluster, Node, Shape
from stages.executors.exit_reasons import ExitReason
from stages.executors.node_health import NodeHealth
from stages.executors.placement import Places, Room
from stages.executors.process_memory import private_bytes
from stages.executors.room_request import RoomRequest
from stages.executors.scratch_folder import fault_file
from stages.executors.worker import MAX_WAITING_BATCHES, Worker, WorkerInfo
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_limits import WorkerLimits
from stages.params import ExecutorParams
from stages.pipeline import RunningBatch

logger = logging.getLogger(__name__)

TEAR_DOWN_S = 2.5
"""Idle workers have so long to tear their stages down at the end of a session."""


class WorkerPool:
    """All workers of a session.

    Attributes:
        workers: a handle for each.
        max_workers: most workers at once.
        health: which nodes are left out.
        limits: which workers exceed a limit.
        calls: which workers hold which calls.
        request: what the autoscaler is asked for.
        idle_s: by run and stage, time that workers waited in all after a batch of it.
    """

    def __init__(self, cluster: Cluster, params: ExecutorParams) -> None:
        self.workers: list[WorkerHandle] = []
        self.calls = CallIndex()
        self.max_workers = params.num_workers or max(1, int(cluster.total_resources.cpus))
        self.health = NodeHealth()
        self.limits = WorkerLimits(params)
        self.request = RoomRequest(cluster, params.num_workers)
        self._cluster = cluster
        self._params = params
        options: dict[str, Any] = {
            "max_restarts": 0,  # else Ray restarts forever a worker whose setup kills it
            "max_task_retries": 0,  # else Ray repeats a call that was killed for a stall, and hides the exit reason
            "concurrency_groups": {"watch": 1, "waiting": MAX_WAITING_BATCHES},
            "runtime_env": cluster.worker_environment,
        }
        self._actor_class: Any = ray.remote(**options)(Worker)
        self.idle_s: defaultdict[tuple[str, int], float] = defaultdict(float)
        self._by_node: defaultdict[str, dict[WorkerHandle, None]] = defaultdict(dict)
        self._visible: dict[WorkerHandle, None] = {}
        self._draining: dict[WorkerHandle, None] = {}

    def check_health(self) -> None:
        """Raise if Ray itself is lost; call this before any call to Ray.

        Raises:
            PoolError: Ray is lost.
        """
        self._cluster.check_health()

    def of_shape(self, shape: Shape) -> list[WorkerHandle]:
        """Workers of a shape that are not shutting down."""
        return [worker for worker in self.workers if worker.shape == shape and not worker.is_in(CallKind.SHUT_DOWN)]

    def idle(self) -> list[WorkerHandle]:
        """Workers without a call, the one that worked last first."""
        return sorted(self.calls.idle(), key=lambda worker: -worker.idle_since)

    def busy(self) -> list[WorkerHandle]:
        """Workers that hold a batch."""
        return self.calls.having(CallKind.BATCH)

    def count_workers(self, run_id: str, stage_names: Sequence[str]) -> dict[tuple[str, str, str], int]:
        """Number of workers by node, state and stage, see `Load.workers`; a batch of another run has no stage."""
        found: Counter[tuple[str, str, str]] = Counter()
        for worker in self.workers:
            batches = [call for call in worker.calls if call.kind is CallKind.BATCH]
            state = "busy" if batches else "starting" if worker.calls else "idle"
            is_of_run = bool(batches) and batches[0].run_id == run_id
            found[worker.node_id, state, stage_names[batches[0].stage] if is_of_run else ""] += 1
        return dict(found)

    def running_batches(self) -> list[RunningBatch]:
        """The batches that workers hold, of which a poll has told counters."""
        now = time.monotonic()
        calls = [call for worker in self.busy() for call in worker.calls if call.counters]
        return [
            RunningBatch(tuple(task.item.task_id for task in call.tasks), call.counters, now - call.started_at)
            for call in calls
        ]

    def num_starting(self, shape: Shape) -> int:
        """Number of workers of a shape that start or set a stage up, and take batches next."""
        return sum(self.calls.num_having(kind, shape) for kind in (CallKind.START, CallKind.SET_UP))

    def num_preparing(self, key: str) -> int:
        """Number of workers that set up the stage of this key for a later run."""
        return self.calls.num_calls(CallKind.SET_UP, key, -1)

    def node_ids(self, shape: Shape | None = None) -> set[str]:
        """The nodes that are alive; with a shape, those of them that could hold a worker of it if they were empty."""
        nodes = self._cluster.nodes
        return {node.node_id for node in nodes if shape is None or Room([node]).fits([shape])}

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        return self._cluster.nodes

    @property
    def object_store_bytes(self) -> float:
        """Bytes of the object stores of all nodes."""
        return self._cluster.object_store_bytes

    def places(self, shape: Shape, others: set[Shape]) -> Places:
        """Where Ray can place more workers of a shape, and then one of each other shape that has none yet.

        Room for the others is kept only where all shapes fit the cluster together, and not against the first worker
        of a shape. A node that is left out has no room.
        """
        total = self._cluster.total_resources
        self.max_workers = self._params.num_workers or max(1, int(total.cpus))
        left_out = self.health.left_out()
        nodes = [node for node in self._cluster.nodes if node.node_id not in left_out]
        missing = [other for other in others if other != shape and not self.calls.num_of_shape(other)]
        if not self.calls.num_of_shape(shape) or not Room(nodes).fits([shape, *others]):
            missing = []
        most = self.max_workers - len(self.workers)
        if most <= 0:
            return Places(Room(()), shape, Shape(0.0, 0.0), (), 0)
        room = Room(nodes)
        for worker in sorted(self.workers, key=lambda worker: not worker.node_id):
            # One that starts holds room that nobody has seen yet, or waits in Ray for room that is not there.
            if not room.hold(worker.shape, worker.node_id) and not worker.node_id:
                most = 0
        return Places(room, shape, self._free(total), missing, most)

    def _free(self, total: Shape) -> Shape:
        """What neither these workers nor others hold, of all that there is.

        Ray's own figure lags behind the last requests. So it only tells what others hold, beyond these workers.
        """
        available = self._cluster.available_resources
        cpus = total.cpus - sum(worker.shape.cpus for worker in self.workers)
        gpus = total.gpus - sum(worker.shape.gpus for worker in self.workers)
        return Shape(min(available.cpus, cpus), min(available.gpus, gpus))

    def start_worker(self, shape: Shape) -> None:
        """Ask Ray for one more worker, on a node that is not left out."""
        worker_id = uuid.uuid4().hex[:12]
        left_out = sorted(self.health.left_out())
        selector = {"ray.io/node-id": f"!in({','.join(left_out)})"} if left_out else None
        actor_class = self._actor_class.options(num_cpus=shape.cpus, num_gpus=shape.gpus, label_selector=selector)
        actor = actor_class.remote(worker_id, max(1, int(shape.cpus)), self._cluster.scratch, self._params.backoff)
        worker = WorkerHandle(worker_id, shape, actor, [RemoteCall(CallKind.START, actor.info.remote())])
        self.workers.append(worker)
        self.calls.add_worker(worker)

    def on_worker_started(self, worker: WorkerHandle, info: WorkerInfo) -> None:
        """Note the process of a worker, if it runs on this machine and can be watched."""
        worker.node_id = info.node_id
        self._by_node[info.node_id][worker] = None
        if info.node_id == self._cluster.node_id and private_bytes() is not None:
            worker.pid = info.pid
            self._visible[worker] = None

    def begin_call(self, worker: WorkerHandle, call: RemoteCall) -> None:
        """Note a call of a worker; an idle one must show progress from now on."""
        self.count_idle_time(worker)
        if not worker.calls:
            worker.progress_at = call.started_at
        worker.calls.append(call)
        self.calls.add(worker, call)

    def end_call(self, worker: WorkerHandle, call: RemoteCall) -> None:
        """Note that a call of a worker ended; without another one the worker is idle again."""
        worker.calls.remove(call)
        self.calls.remove(worker, call)
        worker.progress_at = time.monotonic()
        if worker.calls:
            return
        worker.pending_poll = None
        worker.idle_since = worker.progress_at
        worker.idle_after = (call.run_id, call.stage) if call.kind is CallKind.BATCH else None

    def count_idle_time(self, worker: WorkerHandle) -> None:
        """Add, once, the time that a worker has been idle since its last batch."""
        if not worker.calls and worker.idle_after is not None:
            self.idle_s[worker.idle_after] += time.monotonic() - worker.idle_since
            worker.idle_after = None

    def shut_down(self, worker: WorkerHandle) -> None:
        """Let an idle worker tear its stages down; it is killed when that is done, or takes too long."""
        self.begin_call(worker, RemoteCall(CallKind.SHUT_DOWN, worker.actor.tear_down.remote()))

    def drain(self, worker: WorkerHandle) -> None:
        """Hand a worker no further batch, and let it leave once it has none."""
        worker.is_draining = True
        self._draining[worker] = None

    def shut_down_drained(self) -> None:
        """Shut down the draining workers that have finished their batch."""
        for worker in self._draining:
            if not worker.calls:
                self.shut_down(worker)

    def exceeding_limits(self) -> list[tuple[WorkerHandle, ExitReason]]:
        """The workers that exceed a limit, of those whose turn it is to be looked at."""
        return list(self.limits.exceeded(self.workers, self._visible, self._by_node))

    def kill(self, worker: WorkerHandle) -> list[RemoteCall]:
        """End a worker at once; returns the calls that it held."""
        self.count_idle_time(worker)
        ray.kill(worker.actor)
        self.workers.remove(worker)
        self.calls.remove_worker(worker)
        self._by_node.get(worker.node_id, {}).pop(worker, None)
        for known in (self._visible, self._draining):
            known.pop(worker, None)
        calls, worker.calls = worker.calls, []
        return calls

    def leave_nodes(self) -> None:
        """Let the workers of nodes that are left out finish their batches, and leave."""
        for node_id in self.health.left_out():
            for worker in self._by_node.get(node_id, ()):
                self.drain(worker)

    def remove_dead_idle(self) -> None:
        """Remove idle workers whose process or node is gone, so that no later task is blamed for their death."""
        for worker in [each for each in self._visible if not each.calls]:
            if not private_bytes(worker.pid or 0):
                logger.warning("An idle worker was lost: %s", self.crash_text(worker))
                self.kill(worker)
        for node_id in self._by_node.keys() - self.node_ids():
            for worker in [each for each in self._by_node[node_id] if not each.calls]:
                logger.warning("An idle worker was lost with its node %s", node_id)
                self.kill(worker)

    def crash_text(self, worker: WorkerHandle) -> str:
        """The signal that ended a worker, if its fault handler could still write it."""
        try:
            fault = fault_file(self._cluster.scratch.path, worker.worker_id).read_text()
        except FileNotFoundError:
            fault = ""  # on another machine, or in a folder that is not the driver's
        first = fault.partition("\n")[0].removeprefix("Fatal Python error: ")
        return f"its process crashed: {first}" if first else "its process ended without a word (SIGKILL, or an exit)"

    def wait_for_calls(self, timeout_s: float) -> list[tuple[WorkerHandle, RemoteCall]]:
        """Wait for the first call to end, of very many for a hundredth; returns all that have, with their workers."""
        in_flight = self.calls.in_flight
        if not in_flight:
            time.sleep(timeout_s)
            return []
        results = list(in_flight)
        # Ray looks at all of them in each turn, so that one for each call would take longer the more there are.
        ray.wait(results, num_returns=max(1, len(results) // 100), timeout=timeout_s)
        self._cluster.check_health()  # if Ray itself died, the deaths of its workers must not count against their tasks
        done, _ = ray.wait(results, num_returns=len(results), timeout=0)
        return [in_flight[result] for result in done]

    def close(self) -> None:
        """End all workers; idle ones may tear their stages down first."""
        teardowns = [worker.actor.tear_down.remote() for worker in self.idle()]
        if teardowns:
            ray.wait(teardowns, num_returns=len(teardowns), timeout=TEAR_DOWN_S)
        for worker in list(self.workers):
            self.kill(worker)
        self._cluster.remove_scratch(self._by_node)
