"""Tells workers that end in a row by a fault of theirs from those of a machine that is lost. Pure arithmetic."""

from dataclasses import dataclass, field

MAX_CONSECUTIVE_DEATHS = 3
"""Workers that may die in a row while they start, or while they set up one stage."""
LOST_NODE_S = 30.0
"""Ray tells within so many seconds that a node is lost: its health checks take 15 s by default."""


@dataclass
class ConsecutiveDeaths:
    """Workers that ended in a row, none of which did what it began.

    When a machine is lost, its workers end without a word, often before Ray tells that their node is dead. So deaths of
    a node that is gone do not count, and on several nodes those that are left count only once Ray had the time to tell.
    """

    deaths: list[tuple[str, str, float]] = field(default_factory=lambda: [])
    """Of each: id of the node, "" where it is not known; what happened; when, in seconds of a monotonic clock."""

    def add(self, node_id: str, text: str, at_s: float) -> None:
        """Note one more."""
        self.deaths.append((node_id, text, at_s))

    def are_too_many(self, nodes: set[str], now_s: float) -> bool:
        """True if no lost machine can explain them any more.

        Args:
            nodes: the nodes that are alive.
            now_s: time of the same clock.
        """
        self.deaths = [death for death in self.deaths if death[0] in nodes or not death[0]]
        if len(self.deaths) < MAX_CONSECUTIVE_DEATHS:
            return False
        return len(nodes) <= 1 or now_s - self.deaths[MAX_CONSECUTIVE_DEATHS - 1][2] >= LOST_NODE_S

    @property
    def texts(self) -> str:
        """What happened, each once."""
        return "; ".join(dict.fromkeys(text for _, text, _ in self.deaths))
