"""A cluster that is simulated: nodes, actors and a clock, in place of Ray, for the real code of the scheduler.

The clock goes on by the CPU time that the scheduler takes: one that is too slow for its workers is seen as such. Nodes
are lost at random moments and come back.
"""

import heapq
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import NodeDiedError, RayError

from benchmarks.simulated_clock import Answer, Clock, RayCosts
from stages.executors.cluster import Node, Shape
from stages.executors.life_signs import Signs
from stages.executors.scratch_folder import ScratchFolder
from stages.executors.worker import BatchReport, StageAssignment, WorkerInfo

START_S = 8.0
"""Until an actor's process has started."""
SET_UP_S = 20.0
"""Until models are loaded."""
POLL_S = 0.01
_PROCESSING = ("process", "process_waiting", "finish", "finish_waiting")
NODE_BACK_S = 300.0
"""Until another node is there in place of a lost one."""


@dataclass(eq=False, slots=True)
class _Machine:
    """A node: its free CPUs, and the actors on it."""

    node_id: str
    free_cpus: float
    actors: set["Actor"] = field(default_factory=lambda: set())


class Method:
    """A method of an actor."""

    __slots__ = ("_actor", "_name")

    def __init__(self, actor: "Actor", name: str) -> None:
        self._actor = actor
        self._name = name

    def remote(self, *args: Any) -> Any:
        """Call it; returns its answer, or the answers of its two values."""
        return self._actor.cluster.call(self._actor, self._name, args)


class Actor:
    """A worker."""

    def __init__(self, cluster: "SimulatedCluster", worker_id: str, cpus: float) -> None:
        self.cluster = cluster
        self.worker_id = worker_id
        self.cpus = cpus
        self.machine: _Machine | None = None
        self.starts_at = 0.0
        self.free_at = 0.0
        self.pending: set[Answer] = set()
        self.stages: dict[int, StageAssignment] = {}
        for name in ("info", "set_up", *_PROCESSING, "poll", "poll_node", "tear_down"):
            setattr(self, name, Method(self, name))


class SimulatedCluster:
    """In place of `stages.executors.cluster.Cluster` and of the module ``ray`` in those that schedule.

    Args:
        num_nodes: at the beginning.
        cpus: of each.
        clock: of the simulation.
        batch_s: mean time of a batch, by stage.
        losses_an_hour: share of the nodes that is lost in an hour.
        costs: CPU time of the driver inside Ray.
    """

    is_private = False
    node_id = "driver"
    worker_environment: dict[str, Any] = {}  # noqa: RUF012 - as an attribute of the real one
    scratch = ScratchFolder("/nowhere", "driver")

    def __init__(
        self,
        num_nodes: int,
        cpus: int,
        clock: Clock,
        *,
        batch_s: Sequence[float],
        losses_an_hour: float,
        costs: RayCosts,
    ) -> None:
        self.clock = clock
        self.random = random.Random(0)
        self._costs = costs
        self.num_lost = self.num_polls = self.num_batch_calls = 0
        self._cpus = cpus
        self._batch_s = batch_s
        self._losses_an_hour = losses_an_hour
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Any]] = []
        self._machines: dict[str, _Machine] = {}
        self._waiting: list[Actor] = []
        self._nodes: list[Node] = []
        for _ in range(num_nodes):
            self._add_node()

    # What the scheduler asks of a cluster.

    @property
    def nodes(self) -> list[Node]:
        return self._nodes

    @property
    def total_resources(self) -> Shape:
        return Shape(self._cpus * len(self._machines), 0.0)

    @property
    def available_resources(self) -> Shape:
        return Shape(sum(machine.free_cpus for machine in self._machines.values()), 0.0)

    @property
    def object_store_bytes(self) -> float:
        return 64e9 * len(self._machines)

    def check_health(self) -> None:
        """It never fails as a whole."""

    def request(self, shapes: list[Shape]) -> None:
        """It has no autoscaler."""

    def remove_scratch(self, node_ids: Any) -> None:
        """It has no disks."""

    # What the scheduler asks of Ray.

    def put(self, value: Any) -> Any:
        return Answer(0.0, value, is_there=True)

    def remote(self, **_: Any) -> Any:
        return lambda cls: _ActorClass(self, 0.0)

    def kill(self, actor: Actor) -> None:
        with self.clock.standing():
            self._leave(actor, RayError("killed"))

    def get(self, answer: Any, timeout: float | None = None) -> Any:
        if not answer.is_there:
            raise AssertionError("the scheduler never waits in get")
        if isinstance(answer.value, Exception):
            raise answer.value
        return answer.value

    def wait(
        self, answers: Sequence[Any], *, num_returns: int = 1, timeout: float = 0.0
    ) -> tuple[list[Any], list[Any]]:
        """Let time pass until so many of the answers are there, at most until the timeout."""
        self.clock.tick()
        self.clock.spend(len(answers) * self._costs.wait)
        end_s = self.clock.simulated_s + timeout
        wanted = set(answers) if timeout else set()
        self._advance(self.clock.simulated_s)
        num_there = sum(answer.is_there for answer in wanted)
        if num_there < num_returns:
            while self._events and self._events[0][0] <= end_s:
                self._advance(self._events[0][0])
                num_there += sum(answer in wanted for answer in self._last_answered)
                if num_there >= num_returns:
                    break
            else:
                self.clock.simulated_s = max(self.clock.simulated_s, end_s)
        done = [answer for answer in answers if answer.is_there]
        self.clock.resume()
        return done, [answer for answer in answers if not answer.is_there]

    def sleep(self, seconds: float) -> None:
        self.wait([], timeout=seconds)

    # What happens in it.

    def start(self, actor: Actor) -> None:
        """Start an actor, as a driver asks for it."""
        self.clock.spend(self._costs.start)
        with self.clock.standing():
            self.place(actor)

    def place(self, actor: Actor) -> None:
        """Start an actor on the first node with room for it, or let it wait for one."""
        machine = next((each for each in self._machines.values() if each.free_cpus >= actor.cpus), None)
        if machine is None:
            self._waiting.append(actor)
            return
        machine.free_cpus -= actor.cpus
        machine.actors.add(actor)
        actor.machine, actor.starts_at = machine, self.clock.simulated_s + START_S
        for answer in actor.pending:
            self._answer(answer, actor.starts_at, WorkerInfo(0, machine.node_id))

    def call(self, actor: Actor, name: str, args: tuple[Any, ...]) -> Any:
        """Begin a call of an actor."""
        self.clock.spend(self._costs.call)
        with self.clock.standing():
            return self._call(actor, name, args)

    def _call(self, actor: Actor, name: str, args: tuple[Any, ...]) -> Any:
        answer = Answer(0.0)
        if not name.startswith("poll"):
            actor.pending.add(answer)
        now = self.clock.simulated_s
        if name == "info":
            if actor.machine is not None:
                self._answer(answer, actor.starts_at, WorkerInfo(0, actor.machine.node_id))
        elif name == "poll":
            self.num_polls += 1
            self._answer(answer, now + POLL_S, (int(now * 1000), 0, {}))
        elif name == "poll_node" and actor.machine is not None:
            self.num_polls += 1
            signs = {each.worker_id: Signs(int(now * 1000), 0, {}) for each in actor.machine.actors}
            self._answer(answer, now + POLL_S, signs)
        elif name == "set_up":
            (assignment,) = (each.value for each in args)
            actor.stages[assignment.index] = assignment
            self._answer(answer, now + SET_UP_S, None)
        elif name == "tear_down":
            self._answer(answer, now, None)
        elif name in _PROCESSING:
            stage, indexes = args[0], args[1]
            self.num_batch_calls += 1
            seconds = sum(self.random.lognormvariate(0.0, 0.5) * self._batch_s[stage] for _ in indexes)
            actor.free_at = max(now, actor.free_at) + seconds
            rows: list[Any] = [[[{"id": index}]] for batch in indexes for index in batch]
            self._answer(answer, actor.free_at, BatchReport(rows, seconds, {}, 0))
            if name.startswith("process"):
                return answer, Answer(0.0, [], is_there=True)
        return answer

    def _answer(self, answer: Answer, at_s: float, value: Any) -> None:
        answer.at_s, answer.value = at_s, value
        heapq.heappush(self._events, (at_s, next(self._numbers), answer))

    def _advance(self, to_s: float) -> None:
        """Let happen what happens until then."""
        self._last_answered: list[Answer] = []
        while self._events and self._events[0][0] <= to_s:
            at_s, _, event = heapq.heappop(self._events)
            self.clock.simulated_s = max(self.clock.simulated_s, at_s)
            if isinstance(event, Answer):
                if not event.is_there:  # else its actor is gone
                    event.is_there = True
                    self._last_answered.append(event)
            else:
                event()

    def _leave(self, actor: Actor, error: RayError) -> None:
        """End an actor; whoever waits for an answer of it gets the error."""
        for answer in actor.pending:
            if not answer.is_there:
                answer.value, answer.is_there = error, True
                self._last_answered.append(answer)
        actor.pending.clear()
        if actor.machine is not None:
            actor.machine.actors.discard(actor)
            actor.machine.free_cpus += actor.cpus
            actor.machine = None
        elif actor in self._waiting:
            self._waiting.remove(actor)

    def _add_node(self) -> None:
        machine = _Machine(f"{next(self._numbers):08x}", self._cpus)
        self._machines[machine.node_id] = machine
        self._nodes = [*self._nodes, Node(machine.node_id, self._cpus, 0.0, 64e9)]
        if self._losses_an_hour:
            lost_at = self.clock.simulated_s + self.random.expovariate(self._losses_an_hour) * 3600
            heapq.heappush(self._events, (lost_at, next(self._numbers), lambda: self._lose(machine)))
        waiting, self._waiting = self._waiting, []
        for actor in waiting:
            self.place(actor)

    def _lose(self, machine: _Machine) -> None:
        self.num_lost += 1
        del self._machines[machine.node_id]
        self._nodes = [node for node in self._nodes if node.node_id != machine.node_id]
        for actor in list(machine.actors):
            self._leave(actor, NodeDiedError("its node has died"))
        heapq.heappush(self._events, (self.clock.simulated_s + NODE_BACK_S, next(self._numbers), self._add_node))


class _ActorClass:
    """In place of the class of actors that ``ray.remote`` makes."""

    def __init__(self, cluster: SimulatedCluster, cpus: float) -> None:
        self._cluster = cluster
        self._cpus = cpus

    def options(self, *, num_cpus: float, **_: Any) -> "_ActorClass":
        return _ActorClass(self._cluster, num_cpus)

    def remote(self, worker_id: str, *_: Any) -> Actor:
        actor = Actor(self._cluster, worker_id, self._cpus)
        self._cluster.start(actor)
        return actor
