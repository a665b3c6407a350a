"""Node health: which nodes get no work for a while, since what ran there failed for reasons of the machine."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

MAX_NODE_FAILURES = 3
"""Failures in a row, all of the machine's kind, after which a node is left out."""
LEAVE_OUT_S = 60.0
"""How long a node is left out the first time; twice as long each time after."""
MAX_LEAVE_OUT_S = 960.0


@dataclass(slots=True)
class _Record:
    """The failures of a node in a row, and until when it is left out."""

    failures: int = 0
    left_out_until: float = 0.0
    times_left_out: int = 0


class NodeHealth:
    """Counts failures of nodes that no item is to blame for: a device that is lost, a full disk, a failed set-up.

    A node is left out only while another one works: what fails everywhere is not the fault of a machine.

    Attributes:
        told: for each node that was ever left out, why; for the report of a run.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}
        self.told: dict[str, str] = {}

    def on_success(self, node_id: str) -> None:
        """Note that a batch went well on a node; a set-up proves little."""
        record = self._records.get(node_id)
        if record is not None:
            record.failures = 0

    def on_failure(self, node_id: str, cause: str, nodes: set[str], *, times: int = 1) -> None:
        """Note a failure that the machine is to blame for.

        Args:
            node_id: the node; nothing is noted of a worker whose node is not known.
            cause: what failed, in words.
            nodes: all nodes that are alive.
            times: how many failures this one counts as; a set-up that raises is tried elsewhere at once.
        """
        if not node_id:
            return
        record = self._records.setdefault(node_id, _Record())
        if record.left_out_until > self._clock():
            return  # of a batch that it held already
        record.failures += times
        others = nodes - {node_id} - self.left_out()
        if record.failures < MAX_NODE_FAILURES or not others:
            return
        seconds = min(LEAVE_OUT_S * 2**record.times_left_out, MAX_LEAVE_OUT_S)
        record.left_out_until = self._clock() + seconds
        record.times_left_out += 1
        record.failures = MAX_NODE_FAILURES - 1  # one more failure after it comes back, and it goes again
        self.told[node_id] = f"{cause} (left out {record.times_left_out} times, the last time for {seconds:g} s)"
        logger.warning("Node %s gets no work for %g s: %s", node_id, seconds, cause)

    def left_out(self) -> set[str]:
        """The nodes that get no work now."""
        now = self._clock()
        return {node_id for node_id, record in self._records.items() if record.left_out_until > now}
