"""What waits between stages: items, the tasks they have become, and a queue for each stage."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import ray

from stages.executors.exit_reasons import Death
from stages.executors.worker import Outcome
from stages.pipeline import ItemResult
from stages.tasks import Task

MIN_TASK_BYTES = 100_000
"""What a waiting task counts at least, so that queues of tasks without frames are bounded too."""


@dataclass(eq=False, slots=True)
class Item:
    """One task handed to the executor, until everything that it became has an outcome.

    Attributes:
        task_id: the task's.
        open: tasks of it that are still on their way.
        outcomes: by path, the child indexes from the item down; sorting gives the order that stages returned.
    """

    task_id: str
    open: int = 1
    outcomes: dict[tuple[int, ...], Outcome] = field(default_factory=lambda: {})

    def result(self) -> ItemResult:
        """All outcomes in order, whatever worker was first."""
        return ItemResult(self.task_id, tuple(self.outcomes[path] for path in sorted(self.outcomes)))


@dataclass(eq=False, slots=True)
class Parcel:
    """The children of one batch: one object in Ray's store, which goes once the last of them is done.

    Attributes:
        tasks: the object, or the tasks themselves where they come from the driver.
        nbytes: its size.
        open: tasks inside that are not done.
    """

    tasks: "ray.ObjectRef[list[Task]] | list[Task] | None"
    nbytes: int
    open: int


@dataclass(eq=False, slots=True)
class Unit:
    """One task that waits for a stage or is in it.

    Attributes:
        item: where it comes from.
        path: child indexes from the item down.
        parcel: what holds it.
        place: where in the parcel.
        group: the task's.
        deaths: of workers that held this task and no other.
        failures: how often it failed for a reason that may pass.
        is_outcast: it may only run while nothing else does.
    """

    item: Item
    path: tuple[int, ...]
    parcel: Parcel
    place: int
    group: str
    deaths: list[Death] = field(default_factory=lambda: [])
    failures: int = 0
    is_outcast: bool = False


class StageQueue:
    """Tasks that wait for one stage.

    Tasks whose worker died wait apart: `suspects` are tried one at a time in a batch of their own, `outcasts` only
    while nothing else runs.

    Attributes:
        held_bytes: of tasks that wait or are in the stage.
        peak_bytes: the most that ever was.
        num_waiting: tasks that wait their turn; outcasts have none.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.held_bytes = self.peak_bytes = self.num_waiting = 0
        self.suspects: deque[Unit] = deque()
        self.outcasts: deque[Unit] = deque()
        self._groups: dict[str, deque[Unit]] = {}
        self._open: Counter[str] = Counter()

    def add_parcel(self, parcel: Parcel) -> None:
        """Account for what the tasks pushed next are held in."""
        self.held_bytes += parcel.nbytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def push(self, unit: Unit) -> None:
        """Let a new task wait."""
        self._groups.setdefault(unit.group, deque()).append(unit)
        self._open[unit.group] += 1
        self.num_waiting += 1

    def push_again(self, unit: Unit) -> None:
        """Let a task wait whose worker died."""
        if unit.is_outcast:
            self.outcasts.append(unit)
        else:
            self.suspects.append(unit)
            self.num_waiting += 1

    def close(self, unit: Unit) -> None:
        """Forget a task that is done with this stage, and its parcel with the last one."""
        self._open[unit.group] -= 1
        if not self._open[unit.group]:
            del self._open[unit.group]
        unit.parcel.open -= 1
        if not unit.parcel.open:
            self.held_bytes -= unit.parcel.nbytes
            unit.parcel.tasks = None

    def has_open(self, group: str) -> bool:
        """Whether a task of this group waits or is in the stage."""
        return group in self._open

    @property
    def is_done(self) -> bool:
        """Whether no task waits or is in the stage."""
        return not self._open

    @property
    def num_batches(self) -> int:
        """Batches that the waiting tasks make."""
        return sum(-(-len(units) // self.batch_size) for units in self._groups.values()) + len(self.suspects)

    def choose(self, may_grow: Callable[[str], bool]) -> deque[Unit] | None:
        """Where the next batch is to be taken from: a full one, or one of a group that will not grow."""
        if self.suspects:
            return self.suspects
        for group, units in self._groups.items():
            if len(units) >= self.batch_size or not may_grow(group):
                return units
        return None

    def take(self, units: deque[Unit]) -> list[Unit]:
        """Take the next batch out of what `choose` returned."""
        size = 1 if units is self.suspects else min(self.batch_size, len(units))
        batch = [units.popleft() for _ in range(size)]
        if not units and units is not self.suspects:
            del self._groups[batch[0].group]
        self.num_waiting -= size
        return batch


class Bench:
    """Tasks that wait until a time before they are tried again."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Unit]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, stage: int, units: Iterable[Unit], seconds: float) -> None:
        """Let tasks of a stage wait for so long."""
        due = time.monotonic() + seconds
        self._waiting.extend((due, stage, unit) for unit in units)

    def take_due(self) -> list[tuple[int, Unit]]:
        """Tasks whose time has come, with their stage; they do not wait here any more."""
        now = time.monotonic()
        ready = [(stage, unit) for due, stage, unit in self._waiting if due <= now]
        self._waiting = [entry for entry in self._waiting if entry[0] > now]
        return ready
