"""The front door: open a session, run phases in it.

    with open_session(ExecutorParams()) as session:
        reports = session.run_phase(params, inputs, outputs)

A session keeps its workers between phases. Work starts when there is some: a phase whose rows are all there already
starts nothing.
"""

import itertools
import logging
import time
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from stages import registry, retry
from stages.errors import CurationError, ParamsError, PhaseError, StorageError
from stages.inputs import Inputs, InputTables
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, Params
from stages.phase import Phase, PhaseReport
from stages.pipeline import Executor, ItemResult, RunStats
from stages.storage import is_in_process
from stages.table_run import TableRun
from stages.tasks import Task

__all__ = ["Inputs", "PhaseReport", "Progress", "Session", "check_phases", "check_reachable", "open_session"]

logger = logging.getLogger(__name__)

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


class Session:
    """Runs phases on one set of workers.

    Attributes:
        executor_params: what it was opened with.
        on_progress: called at least once a second while a phase works.
        run_id: stands in the lineage of all that it writes.
        reports: of each phase that was run in it, in order, what was committed by partition; of a stopped one too.
    """

    def __init__(self, executor: ExecutorParams, on_progress: Callable[[Progress], None] | None = None) -> None:
        self.executor_params = executor
        self.on_progress = on_progress
        self.run_id = uuid.uuid4().hex
        self.reports: list[dict[str, PhaseReport]] = []
        self._executor: Executor | None = None
        self._made: dict[tuple[str, str], int] = {}

    def run_phase(self, params: Params, inputs: Inputs, outputs: list[ManifestRef]) -> dict[str, PhaseReport]:
        """Bring the tables of one phase up to date and return what was done, by partition.

        Each partition is committed as soon as its last item is done, so that those before an error stay.

        Raises:
            ManifestError: an input was never committed.
            PhaseError: of several partitions one lacks an input, and the others are done; a stage cannot be set
                up; or, after all is committed, more than `max_failed_fraction` of the rows failed. Its
                `reports` hold what was committed.
            StorageError: the root did not answer, however often it was asked.
        """
        check_reachable(outputs[0].root, self.executor_params)
        with retry.using(self.executor_params.backoff):
            return self._run_phase(params, inputs, outputs)

    def _run_phase(self, params: Params, inputs: Inputs, outputs: list[ManifestRef]) -> dict[str, PhaseReport]:
        phase: Phase[Any] = registry.load("phase", params.phase)(params, outputs[0].root)
        tables = InputTables(phase, inputs, self._made)
        run = _PhaseRun(phase, tables, run_id=self.run_id, transient=self.executor_params.transient)
        results = self._results(phase, run.tasks(outputs), run.stats)
        try:
            for result in results:
                run.take(result)
                if self.on_progress is not None:
                    self.on_progress(run.progress())
        except PhaseError as error:
            error.reports = run.reports
            raise
        finally:
            results.close()  # ends the work of an executor that was interrupted
            try:
                run.flush()
            finally:  # a root that takes no rows keeps what was committed before
                run.describe()
                self.reports.append(run.reports)
                self._made.update({(made.asset, key): made.commit for key, made in run.reports.items()})
        run.check_planned()
        _check_failed_fraction(params, run.reports)
        return run.reports

    def _results(
        self, phase: Phase[Any], tasks: Iterator[Task], stats: RunStats
    ) -> Generator[ItemResult | None, None, None]:
        """Results of the tasks; starts an executor only where there is a first task."""
        first = next(tasks, None)
        if first is None:
            return
        pipeline = phase.pipeline().build()
        logger.info("%s", pipeline.describe())
        yield None  # tells of the phase before the seconds that Ray takes to start
        yield from self._workers().run(pipeline, itertools.chain([first], tasks), stats)

    def _workers(self) -> Executor:
        if self._executor is None:
            self._executor = registry.load("executor", self.executor_params.mode)(self.executor_params)
        return cast(Executor, self._executor)

    def close(self) -> None:
        """End the workers, and Ray where this session started it."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None


def check_phases(params: Iterable[Params], root: str) -> None:
    """Build every phase and its pipeline without running it, so that a wrong request fails before any work.

    Raises:
        ParamsError: names what is wrong in all phases at once: a name that is no class, arguments that do not fit,
            a stage whose input nothing makes.
    """
    problems: list[str] = []
    for each in params:
        try:
            phase = registry.load("phase", each.phase)(each, root)
            phase.pipeline().build()
            phase.identity()  # a splitter or model of another name is looked up only here
        except ParamsError as error:
            problems.append(str(error))
        except (AttributeError, TypeError) as error:  # a user's own class that is no such class
            problems.append(f"{each.phase}: the class named in its parameters must fit its place: {error}.")
    if problems:
        raise ParamsError("\n".join(problems))


def check_reachable(location: str, executor: ExecutorParams) -> None:
    """A root or folder of sources can be seen by those who are to work on it.

    Raises:
        ParamsError: it lies in this process's memory, and workers are other processes.
    """
    if is_in_process(location) and executor.mode != "local":
        raise ParamsError(
            f"What lies in memory is seen by one process alone and requires executor.mode=local, got {location} with "
            f"{executor.mode}. Use a folder or a bucket."
        )


@contextmanager
def open_session(executor: ExecutorParams, on_progress: Callable[[Progress], None] | None = None) -> Iterator[Session]:
    """A session that is closed whatever happens. Ray starts at the first work, not here."""
    session = Session(executor, on_progress)
    try:
        yield session
    finally:
        session.close()


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


class _PhaseRun:
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


def _check_failed_fraction(params: Params, reports: dict[str, PhaseReport]) -> None:
    rows = sum(report.rows for report in reports.values())
    failed = sum(report.counts.get("failed", 0) for report in reports.values())
    if rows and failed / rows > params.max_failed_fraction:
        raise PhaseError(
            f"{params.phase}: failed rows must be at most {params.max_failed_fraction:.0%} "
            f"({params.phase}.max_failed_fraction), got {failed} of {rows}. All rows are committed; "
            f"`curator show ROOT {params.asset} --status failed` tells why each failed.",
            dict(reports),
        )
