"""Progress of a phase."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from stages.run.table_run import TableRun
from stages.run.work import Work

_MIN_SHARE_FOR_ESTIMATE = 0.05
_MIN_SECONDS_FOR_ESTIMATE = 60.0
"""Share of the work, or seconds of it, before which no remaining time is estimated: too little is known of the rate."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a phase.

    Attributes:
        phase: its name.
        done: items finished in this run, without reused ones.
        failed: finished items that failed.
        total: items to compute in the partitions planned so far.
        seconds: since the phase began.
        share: part of the whole work that is done, 0 to 1, by what items are expected to cost; parts of unfinished
            items count, and partitions not yet planned are taken to be like those that had work.
        activity: what is done before the first item is worked on, such as "starting Ray"; else empty.
        starting_s: the part of `seconds` before the first item was worked on.
        video_s: seconds of video done, of unfinished items too.
        video_total_s: seconds of video to do; 0 where the phase does not know them.
        frames: frames done, of unfinished items too.
        slowest_s: seconds that the slowest item in work still takes at its pace; 0 where none tells its own progress.
        partitions: partitions that are done.
        total_partitions: all partitions.
        is_planned: all partitions are planned; else `video_total_s` is an estimate.
        is_preparing: what is told is work that the items of the phase hang on, and that `activity` names.
    """

    phase: str
    done: int
    failed: int
    total: int
    seconds: float
    share: float
    activity: str = ""
    starting_s: float = 0.0
    video_s: float = 0.0
    video_total_s: float = 0.0
    frames: float = 0.0
    slowest_s: float = 0.0
    partitions: int = 0
    total_partitions: int = 1
    is_planned: bool = True
    is_preparing: bool = False

    @property
    def is_working(self) -> bool:
        """Whether items are worked on: what there is to tell of them is more than how many there are."""
        return self.total > 0 and (not self.activity or (self.is_preparing and self.working_s > 0))

    @property
    def working_s(self) -> float:
        """Seconds since the first item was worked on."""
        return self.seconds - self.starting_s

    @property
    def items_per_s(self) -> float:
        """Mean rate since the first item was worked on."""
        return self.done / self.working_s if self.working_s > 0 else 0.0

    @property
    def frames_per_s(self) -> float:
        """Mean rate since the first item was worked on."""
        return self.frames / self.working_s if self.working_s > 0 else 0.0

    @property
    def is_over(self) -> bool:
        """Whether every item of every partition is done."""
        return self.is_planned and self.done == self.total

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds until the end; None while too little is done to tell."""
        is_known = self.share >= _MIN_SHARE_FOR_ESTIMATE or self.working_s >= _MIN_SECONDS_FOR_ESTIMATE
        if not is_known or not self.share:
            return None
        # Workers without an item wait for the slowest one, so the mean rate of all promises too much at the end.
        return max(self.slowest_s, self.working_s * (1 - self.share) / self.share)


class WorkTotals(NamedTuple):
    """Finished and total work of one table, or of several."""

    computed: int = 0
    failed: int = 0
    to_compute: int = 0
    tables_with_work: int = 0
    done: Work = Work()
    total: Work = Work()

    @classmethod
    def of(cls, run: TableRun) -> "WorkTotals":
        """The totals of one table."""
        return cls(run.computed, run.failed, run.to_compute, int(run.to_compute > 0), run.work.done, run.work.total)

    @classmethod
    def sum(cls, totals: Iterable["WorkTotals"]) -> "WorkTotals":
        """The totals of several tables."""
        tables = list(totals)
        return cls(
            computed=sum(table.computed for table in tables),
            failed=sum(table.failed for table in tables),
            to_compute=sum(table.to_compute for table in tables),
            tables_with_work=sum(table.tables_with_work for table in tables),
            done=Work.sum(table.done for table in tables),
            total=Work.sum(table.total for table in tables),
        )
