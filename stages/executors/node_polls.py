"""Polls of very many workers, node by node: one worker of each is asked, and tells of all, see `life_signs`."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from stages.executors import life_signs
from stages.executors.life_signs import Signs
from stages.executors.worker_handle import WorkerHandle

UNANSWERED_S = 5.0
"""A worker that has not answered for so long may hang; the next one of its node is asked."""


@dataclass(slots=True)
class _Poll:
    """The last poll of a node.

    Attributes:
        number: how many there were; so each worker is asked in turn.
        asked_at: by the monotonic clock.
        answer: None once it was read.
    """

    number: int
    asked_at: float
    answer: "ray.ObjectRef[Any] | None"


class NodePolls:
    """Asks one worker of each node, and hands what it tells to the handles of all."""

    def __init__(self) -> None:
        self._polls: dict[str, _Poll] = {}
        self._updated_at = 0.0

    def update(
        self, by_node: Mapping[str, Collection[WorkerHandle]], now: float, interval_s: float
    ) -> Iterator[tuple[WorkerHandle, int]]:
        """Read the answers that are there, and make the polls that are due; yields workers with their private memory.

        Polls are spread over the interval, so that no turn makes all of them.

        Args:
            by_node: workers that have started, by node.
            now: by the monotonic clock.
            interval_s: seconds between two polls of a node.
        """
        for node_id in self._polls.keys() - by_node.keys():
            del self._polls[node_id]
        pending = {poll.answer: node_id for node_id, poll in self._polls.items() if poll.answer is not None}
        for answer in ray.wait([*pending], num_returns=len(pending), timeout=0)[0] if pending else ():
            poll, node_id = self._polls[pending[answer]], pending[answer]
            poll.answer = None
            yield from _noted(by_node[node_id], self._signs(answer), poll.asked_at, now)
        share = min(1.0, (now - self._updated_at) / interval_s)
        self._updated_at = now
        due = (
            node_id for node_id in by_node if node_id and by_node[node_id] and self._is_due(node_id, now, interval_s)
        )
        for node_id in itertools.islice(due, 1 + int(share * len(by_node))):
            self._ask(node_id, by_node[node_id], now)

    def _is_due(self, node_id: str, now: float, interval_s: float) -> bool:
        poll = self._polls.get(node_id)
        if poll is None:
            return True
        return now - poll.asked_at > (interval_s if poll.answer is None else min(interval_s, UNANSWERED_S))

    def _ask(self, node_id: str, workers: Collection[WorkerHandle], now: float) -> None:
        number = self._polls[node_id].number + 1 if node_id in self._polls else 0
        worker = next(itertools.islice(workers, number % len(workers), None))
        # An answer that is late is let go of: it would tell of the same workers.
        self._polls[node_id] = _Poll(number, now, worker.actor.poll_node.remote())

    @staticmethod
    def _signs(answer: "ray.ObjectRef[Any]") -> Mapping[str, Signs]:
        try:
            return ray.get(answer)
        except RayError:
            return {}  # the worker died, which its call reports


def _noted(
    workers: Collection[WorkerHandle], signs: Mapping[str, Signs], asked_at: float, now: float
) -> Iterator[tuple[WorkerHandle, int]]:
    """Note what a node tells of its workers; yields each with its private memory."""
    for worker in workers:
        if (told := signs.get(worker.worker_id)) is None:
            continue
        if told.beats != worker.beats:
            worker.beats, worker.progress_at = told.beats, now
        # The counters may be a second old, hence those of the batch before.
        if worker.calls and worker.calls[0].started_at + life_signs.INTERVAL_S < asked_at:
            worker.calls[0].counters = dict(told.counters)
        yield worker, told.memory_bytes
