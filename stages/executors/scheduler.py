"""One pipeline run by a crew: the scheduling loop.

Every turn draws tasks, gives idle workers the deepest batch that may go, waits for answers, and, five times a second,
ends workers that hang or hold too much and starts those that are wanted. What an answer or a death means for the tasks
is the board's business.
"""

import contextlib
import logging
import pickle
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence

import ray
from ray.exceptions import RayError

from stages.errors import PhaseError, PoolError, Reason
from stages.executors.cluster import Shape
from stages.executors.exit_reasons import Death, cause_text, death_of
from stages.executors.metrics import PoolMetrics
from stages.executors.queues import Unit
from stages.executors.scaling import Staffing
from stages.executors.task_ledger import Board
from stages.executors.worker import Duty
from stages.executors.worker_handle import Call, Doing, Hand
from stages.executors.worker_pool import Crew
from stages.params import ExecutorParams
from stages.pipeline import ItemResult, Pipeline, RunStats
from stages.resources import GIB
from stages.tasks import Task

logger = logging.getLogger(__name__)

TURN_S = 0.2
QUIET_S = 0.4
"""Longest wait for a result before the caller is given None."""
MAX_LOST = 3
"""Workers that may be lost in a row while they start, or while they set up one stage."""
MAX_BENCH = 1000
"""Tasks that may wait for another try before no new ones are drawn; where a store is away, all come to wait."""


class PoolRun:
    """One run of a pipeline, from the first task to the last result."""

    def __init__(self, pipeline: Pipeline, crew: Crew, params: ExecutorParams, shapes: list[Shape]) -> None:
        self._pipeline = pipeline
        self._crew = crew
        self._params = params
        self._id = uuid.uuid4().hex[:12]
        self._shapes = shapes
        self._duties = _sent(self._id, pipeline)
        self._board = Board(pipeline, params)
        self._metrics = PoolMetrics(pipeline.name)
        self._staffing = Staffing(crew, shapes)
        self._tended_at = 0.0
        self._queues = self._board.queues
        self._limit = params.queue_memory_gb * GIB / max(1, len(shapes) - 1)
        self._lost_starts: list[Death] = []
        self._lost_setups: dict[int, list[Death]] = {}
        self._is_drawn = False
        self._last_group = ""

    def results(self, tasks: Iterable[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Yield what became of each task as it is finished, and None when nothing was for `QUIET_S`.

        Raises:
            PhaseError: a stage cannot be set up.
            PoolError: workers cannot be started.
        """
        self._board.stats = stats
        source = iter(tasks)
        spoke_at = time.monotonic()
        while True:
            self._draw(source)
            if self._is_drawn and self._board.is_done:
                return
            self._crew.check()
            self._dispatch()
            self._tend()
            for hand in self._crew.answered(TURN_S):
                self._take(hand)
            self._crew.dismiss_parting()
            finished = self._board.take_finished()
            for item in finished:
                yield item.result()
            if finished:
                spoke_at = time.monotonic()
            elif time.monotonic() - spoke_at > QUIET_S - TURN_S:
                yield None
                spoke_at = time.monotonic()

    def stop(self) -> None:
        """End the workers that still hold a batch; the others stay for the next run."""
        for hand in self._crew.busy():
            self._crew.kill(hand)
        for hand in self._crew.idle():
            self._crew.count_idle(hand)
        self._publish()

    def _publish(self) -> None:
        """Bring the figures up to date, and tell Ray."""
        for stage in range(len(self._queues)):
            self._board.figures(stage).idle_s = self._crew.idle_s[self._id, stage]
        held = {self._name(stage): queue.held_bytes for stage, queue in enumerate(self._queues)}
        self._metrics.publish(self._board.stats, held)

    def _draw(self, source: Iterator[Task]) -> None:
        """Keep so many tasks waiting for the first stage that no worker waits for the source."""
        queue = self._queues[0]
        wanted = (self._crew.capacity + 1) * queue.batch_size
        until = time.monotonic() + TURN_S
        while (
            not self._is_drawn
            and queue.num_waiting < wanted
            and self._board.num_benched < MAX_BENCH
            and time.monotonic() < until
        ):
            task = next(source, None)
            if task is None:
                self._is_drawn = True
                return
            self._last_group = task.group
            self._board.add(task)

    def _dispatch(self) -> None:
        """Give idle workers what may go: the deepest full batch first, then what would leave a worker idle."""
        held = [unit for hand in self._crew.busy() if hand.call for unit in hand.call.units]
        if any(unit.is_outcast for unit in held):
            return
        for may_grow in (self._may_grow, _never):
            for stage in self._order():
                while self._may_go(stage) and self._serve(stage, may_grow):
                    pass
        if not self._crew.busy():
            self._serve_outcast()

    def _order(self) -> Sequence[int]:
        """Stages by who may take a worker first: downstream first, or only the first that is not done."""
        stages = range(len(self._queues))
        if self._params.mode == "streaming":
            return stages[::-1]
        return [stage for stage in stages if not self._queues[stage].is_done][:1]

    def _may_grow(self, stage: int, group: str) -> bool:
        """Whether more tasks of a group may still reach a stage."""
        if not self._is_drawn and group == self._last_group:
            return True
        return any(queue.has_open(group) for queue in self._queues[:stage])

    def _may_go(self, stage: int) -> bool:
        """Whether there is room for what a stage would make; one batch may always wait ahead."""
        if self._params.mode != "streaming" or stage + 1 == len(self._queues):
            return True
        after = self._queues[stage + 1]
        in_flight = sum(hand.call is not None and hand.call.stage == stage for hand in self._crew.busy())
        if not after.num_waiting and not in_flight:
            return True
        return after.held_bytes + self._board.child_bytes[stage] * (in_flight + 1) <= self._limit

    def _serve(self, stage: int, may_grow: Callable[[int, str], bool]) -> bool:
        """Give one batch of a stage to a worker, or let one set the stage up; False if neither can be."""
        queue = self._queues[stage]
        units = queue.choose(lambda group: may_grow(stage, group))
        idle = [hand for hand in self._crew.idle() if hand.shape == self._shapes[stage]]
        if not units or not idle:
            return False
        for hand in idle:
            if hand.is_ready(self._id, stage):
                self._submit(hand, stage, queue.take(units))
                return True
        return self._set_up(idle[0], stage, queue.num_batches)

    def _set_up(self, hand: Hand, stage: int, batches: int) -> bool:
        calls = [hand.call for hand in self._crew.hands if hand.is_at(Doing.SET_UP)]
        if sum(call is not None and call.stage == stage and call.run == self._id for call in calls) >= batches:
            return False
        answer = hand.actor.set_up.remote(self._duties[stage])
        self._crew.assign(hand, Call(Doing.SET_UP, answer, run=self._id, stage=stage))
        return True

    def _serve_outcast(self) -> None:
        for stage, queue in enumerate(self._queues):
            for hand in self._crew.idle():
                if queue.outcasts and hand.shape == self._shapes[stage]:
                    if hand.is_ready(self._id, stage):
                        self._submit(hand, stage, [queue.outcasts.popleft()])
                    else:
                        self._set_up(hand, stage, 1)
                    return

    def _submit(self, hand: Hand, stage: int, units: list[Unit]) -> None:
        parcels = list(dict.fromkeys(unit.parcel for unit in units))
        picks = [(parcels.index(unit.parcel), unit.place) for unit in units]
        answer, children = hand.actor.process.remote(stage, picks, *(parcel.tasks for parcel in parcels))
        self._crew.assign(hand, Call(Doing.BATCH, answer, run=self._id, stage=stage, units=units, children=children))

    def _tend(self) -> None:
        """End workers that hang or hold too much, and see to it that there are enough of each shape."""
        if time.monotonic() - self._tended_at < TURN_S:
            return
        self._tended_at = time.monotonic()
        for hand, death in list(self._crew.overdue()):
            self._bury(hand, self._crew.release(hand), death)
        self._crew.drop_dead()
        if self._metrics.is_due():
            self._publish()
        self._board.wake()
        batches = [0] * len(self._queues)
        for stage in self._order():
            batches[stage] = self._queues[stage].num_batches if self._may_go(stage) else 0
        if not self._crew.busy():
            batches = [count + len(queue.outcasts) for count, queue in zip(batches, self._queues, strict=True)]
        self._staffing.tend(batches)

    def _take(self, hand: Hand) -> None:
        """Take in the answer of a worker."""
        call = self._crew.release(hand)
        try:
            answer = ray.get(call.answer)
        except RayError as error:
            self._take_error(hand, call, error)
            return
        if call.doing is Doing.START:
            self._lost_starts.clear()
            self._crew.welcome(hand, answer)
        elif call.doing is Doing.LEAVE:
            self._crew.kill(hand)
        elif call.run == self._id and call.doing is Doing.SET_UP:
            self._lost_setups.pop(call.stage, None)
            hand.note_ready(call.run, call.stage)
        elif call.run == self._id:
            self._board.settle(call, answer)

    def _take_error(self, hand: Hand, call: Call, error: RayError) -> None:
        if call.children is not None:
            with contextlib.suppress(RayError):  # it holds the same error, which Ray would log as one nobody asked for
                ray.get(call.children)
        death = death_of(error, self._crew.last_words(hand))
        if death is not None or call.doing in (Doing.START, Doing.LEAVE):
            self._bury(hand, call, death or Death(Reason.WORKER_DIED, cause_text(error)))
        elif call.run == self._id and call.doing is Doing.SET_UP:
            raise PhaseError(f"Stage {self._name(call.stage)} cannot be set up: {cause_text(error)}") from error
        elif call.run == self._id:
            self._board.refuse(call, error)

    def _bury(self, hand: Hand, call: Call, death: Death) -> None:
        """Take leave of a worker, and decide what its death means for what it was at."""
        self._crew.kill(hand)
        if call.doing is Doing.START:
            self._lost_starts.append(death)
            if len(self._lost_starts) >= MAX_LOST:
                raise PoolError(f"Workers must start, but {MAX_LOST} in a row did not: {_told(self._lost_starts)}.")
        elif call.run == self._id and call.doing is Doing.SET_UP:
            lost = self._lost_setups.setdefault(call.stage, [])
            lost.append(death)
            if len(lost) >= MAX_LOST:
                name = self._name(call.stage)
                raise PhaseError(f"Stage {name} cannot be set up, it ended {MAX_LOST} workers in a row: {_told(lost)}.")
        elif call.run == self._id and call.doing is Doing.BATCH:
            self._board.mourn(call, death)

    def _name(self, stage: int) -> str:
        return self._pipeline.stages[stage].name


def _sent(run: str, pipeline: Pipeline) -> "list[ray.ObjectRef[Duty]]":
    """The stages, put where every worker can fetch them once."""
    sent: list[ray.ObjectRef[Duty]] = []
    last = len(pipeline.stages) - 1
    for index, stage in enumerate(pipeline.stages):
        try:
            sent.append(ray.put(Duty(run, index, stage, pipeline.collect if index == last else None)))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise PhaseError(
                f"Stage {stage.name} must be picklable to reach a worker, got {type(error).__name__}: {error}. "
                "Make in setup() what cannot travel."
            ) from error
    return sent


def _never(stage: int, group: str) -> bool:
    return False


def _told(deaths: list[Death]) -> str:
    return "; ".join(dict.fromkeys(death.text for death in deaths))
