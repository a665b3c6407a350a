"""Stages that crash, hang or exhaust the memory of their worker as the task's id says, and helpers that run them."""

import ctypes
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import Reason
from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, Collect, ItemResult, Pipeline, RunStats
from stages.stage import ProcessingStage, WorkerMetadata
from stages.tasks import Failed, Rejected, Row, Task
from tests.faults.session_ray import wait_for_free_cpus
from tests.faults.waiting import wait_until


@dataclass(frozen=True, slots=True)
class PayloadTask(Task):
    """A task that carries bytes, and in `path` the stages that it passed, each with the child's index."""

    path: str = ""
    payload: NDArray[np.uint8] | None = None

    @property
    def nbytes(self) -> int:
        return self.payload.nbytes if isinstance(self.payload, np.ndarray) else 0


class Step(ProcessingStage[PayloadTask, PayloadTask]):
    """Appends its name to `path`. Returns `fan_out` children per task, each with a payload of `nbytes`."""

    def __init__(self, name: str, *, fan_out: int = 1, nbytes: int = 0, seconds: float = 0.0) -> None:
        self.name = name
        self.fan_out = fan_out
        self.payload_bytes = nbytes
        self.seconds = seconds

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        heartbeat.count(f"{self.name}_tasks")
        time.sleep(self.seconds)
        payload = np.zeros(self.payload_bytes, np.uint8) if self.payload_bytes else None
        children = [
            replace(task, path=f"{task.path}{self.name}{index}", payload=payload) for index in range(self.fan_out)
        ]
        return children if self.fan_out > 1 else children[0]


class FaultyStage(Step):
    """Has the fault that the task's id names: "segfault-3" crashes each time, "segfault-3-once" only once.

    In the folder `markers` it creates a file for each process id of its workers, and for each task that fails once.
    """

    def __init__(self, name: str = "faulty", *, markers: Path | None = None, batch_size: int = 1) -> None:
        super().__init__(name)
        self.batch_size = batch_size
        self.markers = markers

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        if self.markers is not None:
            (self.markers / str(os.getpid())).touch()
        kind = task.task_id.partition("-")[0]
        if kind == "slow":
            _work_slowly()
        elif kind in FAULTS and (not task.task_id.endswith("-once") or self._is_first(task.task_id)):
            return FAULTS[kind]()
        return super().process(task)

    def _is_first(self, task_id: str) -> bool:
        if self.markers is None:
            raise ValueError("A task that fails once requires a folder for markers.")
        return is_first(self.markers / task_id)


class FaultySetup(Step):
    """Has the fault `kind`, if there is one of this name, in `setup`; logs the calls of its set-up and teardown.

    Its tasks wait until `num_workers` workers have set it up, so that none of these comes too late for work.
    """

    def __init__(self, kind: str, log: Path, *, name: str = "setup", num_workers: int = 0) -> None:
        super().__init__(name)
        self.kind = kind
        self.log = log
        self.num_workers = num_workers

    def setup_on_node(self, node: Any, worker_metadata: WorkerMetadata) -> None:
        self._write_log("node")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self._write_log(f"setup {worker_metadata.device} {worker_metadata.num_threads} {os.environ['OMP_NUM_THREADS']}")
        if self.kind in FAULTS:
            FAULTS[self.kind]()

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        wait_until(self._is_set_up, describe=self._num_set_up)
        return super().process(task)

    def teardown(self) -> None:
        self._write_log("teardown")

    def _is_set_up(self) -> bool:
        heartbeat.beat()
        return self._num_set_up() >= self.num_workers

    def _num_set_up(self) -> int:
        return self.log.read_text().count(f" {self.name} setup ")

    def _write_log(self, event: str) -> None:
        with self.log.open("a") as handle:
            handle.write(f"{os.getpid()} {self.name} {event}\n")


def _segfault() -> None:
    ctypes.string_at(0)


def _sigkill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _hang() -> None:
    while True:
        time.sleep(0.1)


def _hang_in_c() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def _exhaust_memory() -> None:
    blocks = []
    for _ in range(200):
        blocks.append(bytearray(os.urandom(1) * (20 << 20)))
        heartbeat.beat()
        time.sleep(0.01)


def _work_slowly() -> None:
    for _ in range(40):
        time.sleep(0.1)
        heartbeat.beat()


def _raise() -> None:
    raise ValueError("broken on purpose")


def _raise_memory_error() -> None:
    raise MemoryError("cannot allocate 1 TiB")


def _lose_gpu() -> None:
    raise RuntimeError("CUDA error: device-side assert triggered")


def _return_none() -> None:
    return None


def _return_unpicklable() -> PayloadTask:
    return PayloadTask("x", payload=threading.Lock())  # type: ignore[arg-type]


FAULTS: dict[str, Any] = {
    "segfault": _segfault,
    "sigkill": _sigkill,
    "exit": lambda: os._exit(3),
    "hang": _hang,
    "regex": _hang_in_c,
    "exhaust_memory": _exhaust_memory,
    "raise": _raise,
    "memory_error": _raise_memory_error,
    "lost_gpu": _lose_gpu,
    "nothing": _return_none,
    "unpicklable": _return_unpicklable,
    "reject": lambda: Rejected("no", "because"),
    "offline": lambda: Failed(Reason.STORAGE, "the store is away"),
    "corrupt": lambda: Failed(Reason.CORRUPT_STREAM, "the picture is torn"),
}


def is_first(marker: Path) -> bool:
    """Create a file exclusively; true for the caller that created it."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def collect(task: Any) -> list[Row]:
    """One row: the stages that the task passed."""
    return [{"id": task.task_id, "path": task.path}]


class RunResult(NamedTuple):
    """The result of a run: outcomes by task id, the number of times that it yielded None, and its statistics."""

    outcomes: dict[str, tuple[Any, ...]]
    pauses: int
    stats: RunStats


@contextmanager
def executor(**params: Any) -> Iterator[RayExecutor]:
    """An executor with short limits on the Ray of the test session; waits for the end of earlier ones' workers."""
    wait_for_free_cpus()
    ray_executor = RayExecutor(
        ExecutorParams.model_validate({"stall_timeout_s": 30.0, "worker_memory_gb": 4.0, **params})
    )
    try:
        yield ray_executor
    finally:
        ray_executor.close()


def pipeline(stages: Sequence[AnyStage], *, collect: Collect = collect) -> Pipeline:
    """A pipeline of the stages; `collect` turns the last tasks into rows."""
    return Pipeline("test", list(stages), collect=collect).build()


def run(
    executor: Any, stages: Sequence[AnyStage], tasks: Sequence[PayloadTask], *, collect: Collect = collect
) -> RunResult:
    """Run tasks through stages to the end."""
    stats = RunStats()
    results: list[ItemResult] = []
    pauses = 0
    for result in executor.run(pipeline(stages, collect=collect), iter(tasks), stats):
        if result is None:
            pauses += 1
        else:
            results.append(result)
    assert len(results) == len({result.task_id for result in results}) == len(tasks)
    return RunResult({result.task_id: result.outcomes for result in results}, pauses, stats)


def make_tasks(*task_ids: str, group: str = "") -> list[PayloadTask]:
    """One task per id."""
    return [PayloadTask(task_id, group) for task_id in task_ids]
