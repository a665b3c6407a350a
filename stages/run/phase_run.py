"""One phase over several partitions."""

import time
from collections.abc import Collection, Iterator
from typing import Any

from stages.errors import CurationError, PhaseError, StorageError
from stages.manifest import ManifestRef
from stages.phase import Phase, PhaseReport
from stages.pipeline import ItemResult, RunStats
from stages.run.inputs import InputTables
from stages.run.progress import Progress, Tally
from stages.run.table_run import TableRun
from stages.tasks import Task


class PhaseRun:
    """One phase over several partitions: hands out tasks, sorts results to their tables, commits what is done.

    A table that is committed is let go: of it only its report and its share of the progress stay.
    """

    def __init__(self, phase: Phase[Any], tables: InputTables, *, run_id: str, transient: Collection[str]) -> None:
        self.stats = RunStats()
        self._phase = phase
        self._tables = tables
        self._run_id = run_id
        self._transient = transient
        self._open: dict[str, TableRun] = {}
        self._committed = Tally()
        self._unplanned: dict[str, CurationError] = {}
        self.reports: dict[str, PhaseReport] = {}
        self._started = time.monotonic()

    def tasks(self, outputs: list[ManifestRef]) -> Iterator[Task]:
        """Plan one partition after another; one without work is committed at once, one without inputs is noted."""
        for output in outputs:
            try:
                run = TableRun(self._phase, output, self._tables, self._run_id, self._transient)
            except StorageError:  # the root was waited for; the next partition would wait as long
                raise
            except CurationError as error:
                self._unplanned[output.partition] = error
                continue
            self._open[output.partition] = run
            yield from run.tasks()
            self._settle(run)

    def take(self, result: ItemResult | None) -> None:
        """Account for one result, or for a while without one."""
        for run in self._open.values():
            run.writer.flush_if_due()
        if result is None:
            return
        run = self._open[result.task_id.split("/", 1)[0]]
        run.take(result)
        self._settle(run)

    def progress(self) -> Progress:
        """How far all partitions together have come."""
        tally = Tally.sum([self._committed, *map(Tally.of, self._open.values())])
        share = tally.cost_done / (tally.cost_total or 1.0)
        seconds = time.monotonic() - self._started
        return Progress(self._phase.params.phase, tally.computed, tally.failed, tally.to_compute, seconds, share)

    def flush(self) -> None:
        """Write the rows of items that are done, also of partitions that are not."""
        for run in self._open.values():
            run.writer.flush()

    def describe(self) -> None:
        """Add to the reports what is known of the run as a whole."""
        for report in self.reports.values():
            report.stages = self.stats.stages
            report.seconds = time.monotonic() - self._started
            for stage in self.stats.stages.values():
                for name, amount in stage.counters.items():
                    report.notes[name] = report.notes.get(name, 0.0) + amount

    def check_planned(self) -> None:
        """Raise where a partition could not even be begun.

        Raises:
            ManifestError: it was the only one, and an input of it was never committed.
            PhaseError: there were others, which are done.
        """
        if not self._unplanned:
            return
        partition, error = next(iter(self._unplanned.items()))
        begun = len(self._open) + len(self.reports)
        if not begun:
            raise error
        total = len(self._unplanned) + begun
        raise PhaseError(
            f"{self._phase.params.phase}: {len(self._unplanned)} of {total} partitions could not be begun, "
            f"the first is {partition!r}: {error}",
            dict(self.reports),
        ) from error

    def _settle(self, run: TableRun) -> None:
        partition = run.output.partition
        if run.is_done and partition not in self.reports:
            self.reports[partition] = run.commit()
            self._committed = Tally.sum([self._committed, Tally.of(run)])
            del self._open[partition]
