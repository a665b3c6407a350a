"""Progress of a phase."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from stages.run.table_run import TableRun

_MIN_SHARE_FOR_ESTIMATE = 0.05
"""Share of the work before which no remaining time is estimated: the start of workers would distort it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a phase.

    Attributes:
        phase: its name.
        done: items finished in this run, without reused ones.
        failed: finished items that failed.
        total: items to compute in the partitions planned so far.
        seconds: since the phase began.
        share: cost of the finished items over that of all items to compute, 0 to 1; items differ in length.
    """

    phase: str
    done: int
    failed: int
    total: int
    seconds: float
    share: float

    @property
    def items_per_s(self) -> float:
        """Mean rate since the phase began."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds until the end; None while less than `_MIN_SHARE_FOR_ESTIMATE` of the work is done."""
        return self.seconds * (1 - self.share) / self.share if self.share >= _MIN_SHARE_FOR_ESTIMATE else None


class WorkTotals(NamedTuple):
    """Finished and total work of one table, or of several: items, and costs as `Phase.cost` gives them."""

    computed: int = 0
    failed: int = 0
    to_compute: int = 0
    cost_done: float = 0.0
    cost_total: float = 0.0

    @classmethod
    def of(cls, run: TableRun) -> "WorkTotals":
        """The totals of one table."""
        return cls(run.computed, run.failed, run.to_compute, run.cost_done, run.cost_total)

    @classmethod
    def sum(cls, totals: Iterable["WorkTotals"]) -> "WorkTotals":
        """The totals of several tables."""
        return cls(*map(sum, zip(*totals, strict=True)))
