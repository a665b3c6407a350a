"""The request for room: what Ray's autoscaler is asked for, while a run has work."""

import math
import time
from collections import Counter

from stages.executors.call_index import CallIndex
from stages.executors.cluster import Cluster, Shape
from stages.executors.worker_handle import CallKind

MAX_REQUESTED = 10_000
"""Most workers that the autoscaler is asked for where `executor.num_workers` sets no limit."""
REQUEST_INTERVAL_S = 5.0
"""Shortest time between two requests to the autoscaler."""


class RoomRequest:
    """Asks for room for the workers that there are, and for one more for each batch that waits.

    Args:
        cluster: whose autoscaler is asked.
        num_workers: most workers; 0 for no limit.
    """

    def __init__(self, cluster: Cluster, num_workers: int) -> None:
        self._cluster = cluster
        self._most = num_workers or MAX_REQUESTED
        self._requested: Counter[Shape] = Counter()
        self._requested_at = -math.inf

    def update(self, calls: CallIndex, waiting: Counter[Shape]) -> None:
        """Ask for room for the workers and, by shape, for batches that wait; not at every call."""
        wanted = calls.by_shape()
        room = self._most - wanted.total()
        for shape, batches in waiting.items():
            free = calls.num_of_shape(shape) - calls.num_having(CallKind.BATCH, shape)
            added = min(max(0, batches - free), room)
            wanted[shape] += added
            room -= added
        wanted = +wanted
        if wanted == self._requested or time.monotonic() - self._requested_at < REQUEST_INTERVAL_S:
            return
        self._cluster.request(list(wanted.elements()))
        self._requested, self._requested_at = wanted, time.monotonic()

    def withdraw(self) -> None:
        """Tell the autoscaler that nothing waits."""
        if self._requested:
            self._cluster.request([])
            self._requested.clear()
