"""Failures of workers that no task is to blame for, and whether the run can go on without them."""

import time
from collections import Counter, defaultdict

from stages.errors import PhaseError, PoolError, Reason
from stages.executors.batch_runner import is_disk_full
from stages.executors.cluster import Shape
from stages.executors.consecutive_deaths import MAX_CONSECUTIVE_DEATHS, ConsecutiveDeaths
from stages.executors.exit_reasons import ExitReason
from stages.executors.scaling import WorkerScaler
from stages.executors.worker import BatchReport
from stages.executors.worker_handle import CallKind, WorkerHandle
from stages.executors.worker_pool import WorkerPool
from stages.retry import Backoff
from stages.tasks import Failed

MAX_FAILED_NODES = 2
"""Nodes on which the first set-up of a stage may fail; then the stage is to blame, not a node."""
SETUP_BACKOFF = Backoff(first_s=5.0, ceiling_s=300.0)
"""Waits until another worker is started in place of one that could not set a stage up, while others work."""


class WorkerFailures:
    """Decides, for one run, what a worker that does not start, cannot set a stage up, or loses its device means.

    The node is left out for a while, and the run goes on where a healthy place is left: another node, or workers that
    have the stage set up. It stops where none is.
    """

    def __init__(
        self, pool: WorkerPool, scaler: WorkerScaler, run_id: str, shapes: list[Shape], stage_names: list[str]
    ) -> None:
        self._pool = pool
        self._scaler = scaler
        self._run_id = run_id
        self._shapes = shapes
        self._stage_names = stage_names
        self._starts = ConsecutiveDeaths()
        self._setups: defaultdict[int, ConsecutiveDeaths] = defaultdict(ConsecutiveDeaths)
        self._were_set_up: set[int] = set()
        self._failed_setups: Counter[int] = Counter()

    def on_started(self) -> None:
        """Note that a worker has started."""
        self._starts = ConsecutiveDeaths()

    def on_start_failed(self, worker: WorkerHandle, exit_reason: ExitReason) -> None:
        """Note that a worker ended while it started, and was removed.

        A machine that was lost is no reason to end, nor is a failed start where a worker of the same shape is up, nor
        one that is late while others work.

        Raises:
            PoolError: several in a row, and no lost machine explains them.
        """
        is_up = any(not each.is_in(CallKind.START) for each in self._pool.of_shape(worker.shape))
        is_late = exit_reason.row_reason is Reason.STALLED and bool(self._pool.busy())
        if is_up or is_late or exit_reason.is_machine_lost:
            return
        self._starts.add(worker.node_id, exit_reason.text, time.monotonic())
        if self._starts.are_too_many(self._pool.node_ids(), time.monotonic()):
            number = len(self._starts.deaths)
            raise PoolError(f"Workers must start, but {number} in a row did not: {self._starts.texts}.")

    def on_set_up(self, stage: int) -> None:
        """Note that a worker has set a stage up."""
        self._setups.pop(stage, None)
        self._failed_setups.pop(stage, None)
        self._were_set_up.add(stage)

    def on_set_up_failed(self, stage: int, worker: WorkerHandle, text: str, error: BaseException | None) -> None:
        """Note that a worker could not set a stage up, and was removed.

        Args:
            stage: the stage's index.
            worker: the worker.
            text: what happened.
            error: what the set-up raised; None if the worker's process ended.

        Raises:
            PhaseError: no healthy place is left for the stage, or its set-up fails wherever it was tried.
        """
        failures = self._setups[stage]
        failures.add(worker.node_id, text, time.monotonic())
        name = self._stage_names[stage]
        times = 1 if error is None else MAX_CONSECUTIVE_DEATHS
        self._pool.health.on_failure(
            worker.node_id, f"stage {name} cannot be set up there: {text}", self._pool.node_ids(), times=times
        )
        if any(each.is_ready(self._run_id, stage) for each in self._pool.workers):
            self._failed_setups[stage] += 1
            self._scaler.hold_back(worker.shape, SETUP_BACKOFF.wait_s(self._failed_setups[stage]))
            return
        are_too_many = failures.are_too_many(self._pool.node_ids(), time.monotonic())
        nodes = {node_id for node_id, _, _ in failures.deaths}
        healthy = self._pool.node_ids(self._shapes[stage]) - nodes - self._pool.health.left_out()
        most = len(self._pool.node_ids()) if stage in self._were_set_up else MAX_FAILED_NODES
        if healthy and len(nodes) < most:
            return
        if error is not None:
            raise PhaseError(f"Stage {name} cannot be set up: {failures.texts}") from error
        if are_too_many:
            raise PhaseError(
                f"Stage {name} cannot be set up, it ended {len(failures.deaths)} workers in a row: {failures.texts}."
            )

    def on_batch_done(self, worker: WorkerHandle, report: BatchReport) -> None:
        """Note what the results of a batch say of the node of its worker."""
        outcomes = [result for results in report.results for result in results]
        full = next((each.error for each in outcomes if isinstance(each, Failed) and is_disk_full(each)), "")
        if full:
            self._pool.health.on_failure(worker.node_id, f"a disk is full: {full}", self._pool.node_ids())
        elif not all(isinstance(each, Failed) for each in outcomes):
            self._pool.health.on_success(worker.node_id)

    def on_batch_death(self, worker: WorkerHandle, exit_reason: ExitReason) -> None:
        """Note that a worker died with a batch; only a device that is lost speaks against its node, at the second."""
        if exit_reason.is_device_lost:
            self._pool.health.on_failure(worker.node_id, exit_reason.text, self._pool.node_ids(), times=2)
