"""Stages that harm their worker (crash, hang, eat memory) as the task's id says, and helpers that run them."""

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
from stages.resources import Resources
from stages.stage import ProcessingStage, WorkerMetadata
from stages.tasks import Failed, Rejected, Row, Task
from tests.faults.session_ray import wait_for_free_cpus

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Load(Task):
    """A task that carries bytes and records the stages that it passed."""

    way: str = ""
    load: NDArray[np.uint8] | None = None

    @property
    def nbytes(self) -> int:
        return self.load.nbytes if isinstance(self.load, np.ndarray) else 0


class Step(ProcessingStage[Load, Load]):
    """Appends its name to `way`. Returns `fan_out` children per task, each with a load of `nbytes`."""

    def __init__(self, name: str, *, fan_out: int = 1, nbytes: int = 0, seconds: float = 0.0) -> None:
        self.name = name
        self.fan_out = fan_out
        self.made_bytes = nbytes
        self.seconds = seconds

    def process(self, task: Load) -> Load | list[Load] | Rejected | Failed:
        heartbeat.count(f"{self.name}_tasks")
        time.sleep(self.seconds)
        load = np.zeros(self.made_bytes, np.uint8) if self.made_bytes else None
        made = [replace(task, way=f"{task.way}{self.name}{index}", load=load) for index in range(self.fan_out)]
        return made if self.fan_out > 1 else made[0]


class Poison(Step):
    """Dies, hangs or misbehaves as the task's id says: "segfault-3" crashes each time, "segfault-3-once" only once.

    In the folder `marks` it creates a file for each process id of its workers, and for each task that harms once.
    """

    def __init__(self, name: str = "poison", *, marks: Path | None = None, batch_size: int = 1) -> None:
        super().__init__(name)
        self.batch_size = batch_size
        self.marks = marks

    def process(self, task: Load) -> Load | list[Load] | Rejected | Failed:
        if self.marks is not None:
            (self.marks / str(os.getpid())).touch()
        kind = task.task_id.partition("-")[0]
        if kind == "slow":
            _beat_slowly()
        elif kind in HARM and (not task.task_id.endswith("-once") or self._is_first(task.task_id)):
            return HARM[kind]()
        return super().process(task)

    def _is_first(self, task_id: str) -> bool:
        if self.marks is None:
            raise ValueError("A task that harms once requires a folder for marks.")
        return is_first(self.marks / task_id)


class Setup(Step):
    """Does the harm `kind`, if there is one, in `setup`, and logs the calls of its set-up and teardown."""

    def __init__(self, kind: str, log: Path, *, name: str = "setup", seconds: float = 0.0) -> None:
        super().__init__(name, seconds=seconds)
        self.kind = kind
        self.log = log

    def setup_on_node(self, node: Any, worker_metadata: WorkerMetadata) -> None:
        self._note("node")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self._note(f"setup {worker_metadata.device} {worker_metadata.num_threads} {os.environ['OMP_NUM_THREADS']}")
        if self.kind in HARM:
            HARM[self.kind]()

    def teardown(self) -> None:
        self._note("teardown")

    def _note(self, what: str) -> None:
        with self.log.open("a") as handle:
            handle.write(f"{os.getpid()} {self.name} {what}\n")


def _segfault() -> None:
    ctypes.string_at(0)


def _sigkill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _sleep() -> None:
    while True:
        time.sleep(0.1)


def _spin_in_c() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def _eat() -> None:
    eaten = []
    for _ in range(200):
        eaten.append(bytearray(os.urandom(1) * (20 << 20)))
        heartbeat.beat()
        time.sleep(0.01)


def _beat_slowly() -> None:
    for _ in range(40):
        time.sleep(0.1)
        heartbeat.beat()


def _raise() -> None:
    raise ValueError("broken on purpose")


def _raise_memory_error() -> None:
    raise MemoryError("cannot allocate 1 TiB")


def _nothing() -> None:
    return None


def _unpicklable() -> Load:
    return Load("x", load=threading.Lock())  # type: ignore[arg-type]


HARM: dict[str, Any] = {
    "segfault": _segfault,
    "sigkill": _sigkill,
    "exit": lambda: os._exit(3),
    "hang": _sleep,
    "regex": _spin_in_c,
    "eat": _eat,
    "raise": _raise,
    "memory": _raise_memory_error,
    "nothing": _nothing,
    "unpicklable": _unpicklable,
    "reject": lambda: Rejected("no", "because"),
    "offline": lambda: Failed(Reason.STORAGE, "the store is away"),
    "torn": lambda: Failed(Reason.CORRUPT_STREAM, "the picture is torn"),
}


def is_first(mark: Path) -> bool:
    """Create a file exclusively; true for the caller that created it."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def collect(task: Any) -> list[Row]:
    """One row: the task's way."""
    return [{"id": task.task_id, "way": task.way}]


class Done(NamedTuple):
    """The result of a run: outcomes by task id, the number of times that it yielded None, and its statistics."""

    outcomes: dict[str, tuple[Any, ...]]
    pauses: int
    stats: RunStats


@contextmanager
def executor(**params: Any) -> Iterator[RayExecutor]:
    """An executor with short limits on the Ray of the test session; waits for the end of earlier ones' workers."""
    wait_for_free_cpus()
    ready = RayExecutor(ExecutorParams(**{"stall_timeout_s": 30.0, "worker_memory_gb": 4.0, **params}))
    try:
        yield ready
    finally:
        ready.close()


def pipeline(stages: Sequence[AnyStage], *, collect: Collect = collect) -> Pipeline:
    """A pipeline of the stages; `collect` turns the last tasks into rows."""
    return Pipeline("test", list(stages), collect=collect).build()


def run(executor: Any, stages: Sequence[AnyStage], tasks: Sequence[Load], *, collect: Collect = collect) -> Done:
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
    return Done({result.task_id: result.outcomes for result in results}, pauses, stats)


def loads(*task_ids: str, group: str = "") -> list[Load]:
    """One task per id."""
    return [Load(task_id, group) for task_id in task_ids]


def small(cpus: float = 1.0) -> Resources:
    """Resources of a test stage."""
    return Resources(cpus=cpus)
