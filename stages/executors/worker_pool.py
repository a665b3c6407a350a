"""The workers of a session: started, watched, ended. What they work on is the pool's business."""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayError

from stages.errors import Reason
from stages.executors.cluster import Cluster, Shape
from stages.executors.exit_reasons import Death
from stages.executors.process_memory import private_bytes
from stages.executors.scratch_folder import fault_file
from stages.executors.worker import Birth, Worker
from stages.executors.worker_handle import Call, Doing, Hand
from stages.params import ExecutorParams
from stages.resources import GIB

logger = logging.getLogger(__name__)

POLL_S = 1.0
SETUP_PATIENCE = 5
"""A set-up may go this many times `stall_timeout_s` without a sign: weights come over a network and nobody counts."""
START_LIMIT_S = 600.0
"""How long a worker may take to start; on a cluster that grows it waits for a machine."""
LEAVE_LIMIT_S = 10.0


class Crew:
    """All workers of a session.

    Attributes:
        hands: one each.
        capacity: most workers at once.
        idle_s: by run and stage, how long workers waited in all after a batch of it.
    """

    def __init__(self, cluster: Cluster, params: ExecutorParams) -> None:
        self.hands: list[Hand] = []
        self.capacity = params.num_workers or max(1, int(cluster.total.cpus))
        self._cluster = cluster
        self._params = params
        options: dict[str, Any] = {
            "max_restarts": 0,  # Ray would set up for ever what kills its process in setup,
            "max_task_retries": 0,  # run again what was killed because it hangs, and not say why a worker died
            "concurrency_groups": {"watch": 1},
            "runtime_env": cluster.environment,
        }
        self._actor: Any = ray.remote(**options)(Worker)
        self.idle_s: defaultdict[tuple[str, int], float] = defaultdict(float)
        self._watched_at = time.monotonic()

    def check(self) -> None:
        """Raise where Ray itself is lost, before anything is asked of it.

        Raises:
            PoolError: it is.
        """
        self._cluster.check()

    def of(self, shape: Shape) -> list[Hand]:
        """Workers of a shape that are to stay."""
        return [hand for hand in self.hands if hand.shape == shape and not hand.is_at(Doing.LEAVE)]

    def idle(self) -> list[Hand]:
        """Workers with nothing to do, the last one that worked first."""
        return sorted((hand for hand in self.hands if hand.call is None), key=lambda hand: -hand.idle_since)

    def busy(self) -> list[Hand]:
        """Workers that hold a batch."""
        return [hand for hand in self.hands if hand.is_at(Doing.BATCH)]

    def coming(self, shape: Shape) -> list[Hand]:
        """Workers of a shape that start or set a stage up, and will ask for work."""
        return [hand for hand in self.of(shape) if hand.is_at(Doing.START) or hand.is_at(Doing.SET_UP)]

    def has_room(self, shape: Shape, others: set[Shape]) -> bool:
        """Whether Ray can place one more worker of a shape, and then one of each of the others that has none yet.

        What others need is kept free only where all shapes can be there together, and not against the first of a kind.
        """
        total = self._cluster.total
        self.capacity = self._params.num_workers or max(1, int(total.cpus))
        if len(self.hands) >= self.capacity:
            return False
        missing = [other for other in others if other != shape and not self.of(other)]
        if not self.of(shape) or not _fits(_sum([shape, *others]), total):
            missing = []
        asked = _sum([shape, *missing])
        # Ray's figure lags behind what was just asked of it, so that is counted too.
        starting = _sum([hand.shape for hand in self.hands if hand.is_at(Doing.START)])
        held = _sum([hand.shape for hand in self.hands])
        return _fits(_sum([asked, starting]), self._cluster.free) and _fits(_sum([asked, held]), total)

    def start(self, shape: Shape) -> None:
        """Ask Ray for one more worker."""
        worker_id = uuid.uuid4().hex[:12]
        placed = self._actor.options(num_cpus=shape.cpus, num_gpus=shape.gpus)
        actor = placed.remote(worker_id, max(1, int(shape.cpus)), self._cluster.scratch, self._params.backoff)
        self.hands.append(Hand(worker_id, shape, actor, Call(Doing.START, actor.start.remote())))

    def welcome(self, hand: Hand, birth: Birth) -> None:
        """Note where a worker came to life."""
        is_seen = birth.node_id == self._cluster.node_id and private_bytes() is not None
        hand.pid = birth.pid if is_seen else None

    def assign(self, hand: Hand, call: Call) -> None:
        """Note what a worker was told to do; from now on it must show progress."""
        self.count_idle(hand)
        hand.call = call
        hand.progress_at = call.since

    def release(self, hand: Hand) -> Call:
        """Note that a worker is done with what it was at."""
        call = hand.call
        if call is None:
            raise ValueError(f"Worker {hand.worker_id} must be at something to be released, but is idle.")
        hand.call = hand.question = None
        hand.idle_since = time.monotonic()
        hand.idle_after = (call.run, call.stage) if call.doing is Doing.BATCH else None
        return call

    def count_idle(self, hand: Hand) -> None:
        """Account, once, for the time that a worker has waited since its last batch."""
        if hand.call is None and hand.idle_after is not None:
            self.idle_s[hand.idle_after] += time.monotonic() - hand.idle_since
            hand.idle_after = None

    def dismiss(self, hand: Hand) -> None:
        """Let an idle worker tear its stages down; it is ended when that is done, or takes too long."""
        self.assign(hand, Call(Doing.LEAVE, hand.actor.clear.remote()))

    def dismiss_parting(self) -> None:
        """Let those go that were to leave after their batch."""
        for hand in self.idle():
            if hand.is_parting:
                self.dismiss(hand)

    def kill(self, hand: Hand) -> None:
        """End a worker at once."""
        self.count_idle(hand)
        ray.kill(hand.actor)
        self.hands.remove(hand)

    def drop_dead(self) -> None:
        """Forget idle workers whose process is gone, so that no task is blamed for them."""
        for hand in self.idle():
            if hand.pid and not private_bytes(hand.pid):
                logger.warning("An idle worker was lost: %s", self.last_words(hand))
                self.kill(hand)

    def last_words(self, hand: Hand) -> str:
        """The signal that ended a worker, as far as it could still write it down."""
        try:
            words = fault_file(self._cluster.scratch.path, hand.worker_id).read_text()
        except FileNotFoundError:
            words = ""  # on another machine, or in a folder that is not ours
        first = words.partition("\n")[0].removeprefix("Fatal Python error: ")
        return f"its process crashed: {first}" if first else "its process ended without a word (SIGKILL, or an exit)"

    def answered(self, timeout_s: float) -> list[Hand]:
        """Workers that are done with what they were at; waits for the first of them."""
        waiting = {hand.call.answer: hand for hand in self.hands if hand.call is not None}
        if not waiting:
            time.sleep(timeout_s)
            return []
        answers = list(waiting)
        ray.wait(answers, timeout=timeout_s)
        self._cluster.check()  # workers that died with Ray say nothing about their tasks
        done, _ = ray.wait(answers, num_returns=len(answers), timeout=0)
        return [waiting[answer] for answer in done]

    def overdue(self) -> Iterator[tuple[Hand, Death]]:
        """Workers that must be ended, and why. To be asked a few times a second; asks the workers once a second."""
        now = time.monotonic()
        if now - self._watched_at > 2 * POLL_S:
            # Nobody watched meanwhile (the caller was committing, say), so silence proves nothing.
            for hand in self.hands:
                hand.wait_longer(now - self._watched_at, now)
        self._watched_at = now
        for hand in list(self.hands):
            death = self._watch(hand, hand.call, now) if hand.call else None
            if death is not None:
                yield hand, death

    def close(self) -> None:
        """End all workers; those that are idle may tear their stages down first."""
        farewells = [hand.actor.clear.remote() for hand in self.idle()]
        if farewells:
            ray.wait(farewells, num_returns=len(farewells), timeout=LEAVE_LIMIT_S / 4)
        for hand in list(self.hands):
            self.kill(hand)

    def _watch(self, hand: Hand, call: Call, now: float) -> Death | None:
        if call.doing is Doing.START:
            return _late(now - call.since, START_LIMIT_S, "it did not start")
        if call.doing is Doing.LEAVE:
            return _late(now - call.since, LEAVE_LIMIT_S, "it did not leave")
        memory = private_bytes(hand.pid) if hand.pid else None
        answer = self._ask(hand, call, now)
        call.peak_bytes = max(call.peak_bytes, memory or answer)
        limit_gb = self._params.worker_memory_gb
        if call.peak_bytes > limit_gb * GIB:
            return Death(Reason.OUT_OF_MEMORY, f"its private memory went above {limit_gb:g} GiB")
        patience = SETUP_PATIENCE if call.doing is Doing.SET_UP else 1
        return _late(now - hand.progress_at, patience * self._params.stall_timeout_s, "it made no progress")

    def _ask(self, hand: Hand, call: Call, now: float) -> int:
        """Take the answer to the last question, if it came, and put the next one; private memory, or 0."""
        memory = 0
        if hand.question is not None and ray.wait([hand.question], timeout=0)[0]:
            try:
                beats, memory = ray.get(hand.question)
            except RayError:
                beats = hand.beats  # it died: what it was at will say so
            if beats != hand.beats:
                hand.beats, hand.progress_at = beats, now
            hand.question = None
        often_s = min(POLL_S, self._params.stall_timeout_s / 4)
        if hand.question is None and now - max(hand.asked_at, call.since) > often_s:
            hand.question, hand.asked_at = hand.actor.poll.remote(), now
        return memory


def _late(seconds: float, limit_s: float, what: str) -> Death | None:
    return Death(Reason.STALLED, f"{what} for {limit_s:g} s") if seconds > limit_s else None


def _sum(shapes: list[Shape]) -> Shape:
    return Shape(sum(shape.cpus for shape in shapes), sum(shape.gpus for shape in shapes))


def _fits(asked: Shape, there: Shape) -> bool:
    rounding = 1e-6
    return asked.cpus <= there.cpus + rounding and asked.gpus <= there.gpus + rounding
