"""How far a phase has come."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from stages.run.table_run import TableRun

_TOLD_FROM = 0.05
"""Share of the work; the seconds in which workers start would make hours of less."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase has come.

    Attributes:
        phase: its name.
        done: items finished in this run, not counting those that were there already.
        failed: how many of them failed.
        total: items to work on, of the partitions planned so far.
        seconds: since the phase began.
        share: of the expected cost of all items, what is done, 0 to 1; items differ in length.
    """

    phase: str
    done: int
    failed: int
    total: int
    seconds: float
    share: float

    @property
    def items_per_s(self) -> float:
        """Rate since the phase began."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at the rate so far; None before `_TOLD_FROM` of the work is done."""
        return self.seconds * (1 - self.share) / self.share if self.share >= _TOLD_FROM else None


class Tally(NamedTuple):
    """How far one table has come, or several together: items, and costs as `Phase.cost` gives them."""

    computed: int = 0
    failed: int = 0
    to_compute: int = 0
    cost_done: float = 0.0
    cost_total: float = 0.0

    @classmethod
    def of(cls, run: TableRun) -> "Tally":
        """Of one table."""
        return cls(run.computed, run.failed, run.to_compute, run.cost_done, run.cost_total)

    @classmethod
    def sum(cls, tallies: Iterable["Tally"]) -> "Tally":
        """Of all together."""
        return cls(*map(sum, zip(*tallies, strict=True)))
