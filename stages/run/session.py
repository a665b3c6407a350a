"""A session: runs phases one after another, on workers that it keeps between them."""

import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from stages import executors, retry
from stages.errors import PhaseError
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, Params
from stages.phase import Phase, PhaseReport
from stages.pipeline import AnyStage, Executor, ItemResult, Pipeline, RunStats
from stages.run.inputs import Inputs, InputTables
from stages.run.once import Once
from stages.run.phase_run import PhaseRun
from stages.run.phases import build_phase, check_reachable
from stages.run.precedence import Superseded, is_mixed, raise_for_superseded, with_tables_of
from stages.run.preparing import prepare
from stages.run.progress import Progress
from stages.run.rounds import run_rounds
from stages.run.starting import StartingExecutor
from stages.run.status import STATUS_INTERVAL_S
from stages.run_records import VACUUM_LEASE, RunRecord
from stages.storage import Storage, check_exclusive_creation, is_url, wait_until_free
from stages.table_names import name_of
from stages.tasks import Task, VideoTask

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 0.01
MAX_PROGRESS_INTERVAL_S = 0.5
"""Shortest time between two reports of progress, for each table in work, and for all together.

A report sums the tables up, in a hundredth of that.
"""

MAX_READ_AGAIN = 5
"""How often a phase makes tables again, since other runs committed what they are made from meanwhile."""


class Session:
    """Runs phases on one set of workers.

    Attributes:
        executor_params: parameters of its executor.
        on_progress: called at least once a second while a phase runs.
        run_id: id that is stored in the lineage of all tables that the session writes.
        reports: for each phase that was run, in order, the reports of committed tables by partition; a phase that
            stopped with an error is included. Those of further tables are in those of the asset's own.
    """

    def __init__(self, executor: ExecutorParams, on_progress: Callable[[Progress], None] | None = None) -> None:
        self.executor_params = executor
        self.on_progress = on_progress
        self.run_id = uuid.uuid4().hex
        self.reports: list[dict[str, PhaseReport]] = []
        self._executor: Executor | None = None
        self._starting: StartingExecutor | None = None
        self._expected: list[tuple[Params, str]] = []
        self._committed_versions: dict[tuple[str, str], int] = {}
        self._records: dict[str, RunRecord] = {}

    def expect(self, following: Iterable[Params], root: str) -> None:
        """Note which phases will be run, in this order, so that workers with nothing to do set up those of the next."""
        self._expected = [(params, root) for params in following]

    def start(self) -> None:
        """Start the workers in a thread, before it is known what is to be done; where nothing is, that was in vain."""
        if self._executor is None and self._starting is None:
            self._starting = StartingExecutor(self.executor_params, self._expected_stages())

    def _expected_stages(self) -> list[list[AnyStage]]:
        """The stages of the phases that follow, each of which has one at least."""
        return [_build(build_phase(params, root), root).build().stages for params, root in self._expected]

    def run_phase(self, params: Params, inputs: Inputs, outputs: list[ManifestRef]) -> dict[str, PhaseReport]:
        """Bring the tables of one phase up to date and return the reports by partition.

        Where the parameters name further tables of the asset, they are made after its own, one pass each.

        Each partition is committed as soon as its last item is done, so that finished ones survive an error.

        Raises:
            ManifestError: an input was never committed.
            PhaseError: of several partitions one lacks an input, and the others are done; a stage cannot be set up; or,
                after all is committed, more than `max_failed_fraction` of the rows failed, or a version that another
                run made with other parameters at the same time prevailed. Its `reports` hold what was committed.
            ParamsError: the root is on a store that creates a file for more than one writer.
            StorageError: the root did not answer in any try.
        """
        check_reachable(outputs[0].root, self.executor_params)
        names = [each.phase for each, _ in self._expected]
        self._expected = self._expected[names.index(params.phase) + 1 :] if params.phase in names else []
        with retry.using(self.executor_params.backoff):
            reports = self._run_phase(params, inputs, outputs)
            for each in params.further():
                self._run_further(each, inputs, outputs, reports)
            return reports

    def _run_further(
        self, params: Params, inputs: Inputs, outputs: list[ManifestRef], reports: dict[str, PhaseReport]
    ) -> None:
        """Bring a further table of the asset up to date; its reports are part of those of the asset's own table."""
        first = len(self.reports)
        try:
            self._run_phase(params, inputs, [replace(output, asset=params.table) for output in outputs])
        except PhaseError as error:
            error.reports = reports
            raise
        finally:
            for made in self.reports[first:]:
                for partition, report in made.items():
                    reports[partition].further[name_of(params.table)] = report
            del self.reports[first:]

    def _run_phase(self, params: Params, inputs: Inputs, outputs: list[ManifestRef]) -> dict[str, PhaseReport]:
        """Make the tables; again from newer inputs, where another run has made a table from some that are newer."""
        run = self._run_once(params, inputs, outputs)
        reports, superseded = run.reports, run.superseded
        for _ in range(MAX_READ_AGAIN):
            self._take_over(superseded)
            again = [output for output in outputs if is_mixed(superseded.get(output.partition))]
            if not again:
                break
            more = self._run_once(params, with_tables_of(superseded, inputs, again), again)
            reports.update(self.reports.pop())
            superseded = {**superseded, **{output.partition: None for output in again}, **more.superseded}
        raise_for_superseded(params, reports, superseded)
        _check_failed_fraction(params, reports)
        return reports

    def _take_over(self, superseded: Mapping[str, Superseded | None]) -> None:
        """Read from now on what the versions were made from that prevailed, where that is newer than the run's own."""
        for each in superseded.values():
            for asset, numbers in each.inputs.items() if each else ():
                for name, number in numbers.items():
                    if self._committed_versions.get((asset, name), number) < number:
                        self._committed_versions[asset, name] = number

    def _begin_phase(self, outputs: list[ManifestRef]) -> RunRecord:
        """Say on which partitions the run works, and wait for a vacuum that may not know it yet."""
        root = outputs[0].root
        if root not in self._records:
            check_exclusive_creation(Storage(root))
            self._records[root] = RunRecord.begin(Storage(root), self.run_id)
        self._records[root].work_on([output.partition for output in outputs])
        wait_until_free(Storage(root), VACUUM_LEASE)
        return self._records[root]

    def _run_once(self, params: Params, inputs: Inputs, outputs: list[ManifestRef]) -> PhaseRun:
        phase = build_phase(params, outputs[0].root)
        tables = InputTables(phase, inputs, self._committed_versions)
        record = Once(partial(self._begin_phase, outputs))
        transient = self.executor_params.transient
        run = PhaseRun(phase, tables, run_id=self.run_id, begin=lambda: record.value.number, transient=transient)

        told_at = described_at = 0.0

        def on_result(result: ItemResult | None) -> None:
            nonlocal told_at, described_at
            run.add_result(result)
            interval_s = min(MAX_PROGRESS_INTERVAL_S, PROGRESS_INTERVAL_S * run.num_in_work)
            is_due = result is None or time.monotonic() - told_at > interval_s
            if self.on_progress is not None and is_due:
                self.on_progress(run.progress())
                told_at = time.monotonic()
            if record.is_known and time.monotonic() - described_at > STATUS_INTERVAL_S:
                self._tell_status(run, record.value, phase.root)
                described_at = time.monotonic()

        run.stats.stages.update(prepare(phase, outputs, self._results, self.on_progress))
        run.stats.on_running = partial(on_result, None)
        results = self._results(partial(_build, phase, outputs[0].root), run.tasks(outputs), run.stats)
        try:
            for result in results:
                on_result(result)
            for _ in run.commits():
                on_result(None)
            on_result(None)
        except PhaseError as error:
            error.reports = run.reports
            raise
        finally:
            if record.is_known:
                record.value.show({})
            results.close()  # stops an executor that was interrupted
            try:
                run.close()
            finally:  # committed tables are reported even if the last rows do not reach the root
                run.complete_reports()
                self.reports.append(run.reports)
                self._committed_versions.update(
                    {(report.asset, key): report.commit for key, report in run.reports.items()}
                )
        run.finish()
        run.raise_planning_error()
        return run

    def _tell_status(self, run: PhaseRun, record: RunRecord, root: str) -> None:
        """Tell what the run does: in its record, for who asks the root, and in its statistics, for who asks Ray."""
        progress = run.describe()
        record.show(progress)
        run.stats.status = {"run": record.number, "run_id": self.run_id, "root": root, "progress": progress}

    def _results(
        self, pipeline: Callable[[], Pipeline], tasks: Iterator[Task], stats: RunStats
    ) -> Generator[ItemResult | None, None, None]:
        """Yield the results of the tasks; starts an executor only where there is a task."""
        first = next(tasks, None)
        if first is None:
            return
        built = pipeline().build()
        if isinstance(first, VideoTask) and os.path.exists(first.data.uri):
            built.files.append(first.data.uri)
        logger.info("%s", built.describe())
        if self._starting is not None:
            stats.activity = "starting Ray"
            for _ in self._starting.wait():
                yield None
        executor = self._get_executor()
        executor.expect(self._expected_stages())
        yield from run_rounds(executor, built, itertools.chain([first], tasks), stats)

    def _get_executor(self) -> Executor:
        if self._starting is not None:
            return self._starting.result()
        if self._executor is None:
            self._executor = executors.build_executor(self.executor_params)
        return self._executor

    def close(self) -> None:
        """Stop the workers, and Ray where this session started it."""
        try:
            for each in (self._starting, self._executor):
                if each is not None:
                    each.close()
            self._starting = self._executor = None
        finally:
            for record in self._records.values():
                record.end()
            self._records = {}


@contextmanager
def open_session(executor: ExecutorParams, on_progress: Callable[[Progress], None] | None = None) -> Iterator[Session]:
    """Open a session and close it at the end of the block. Ray starts with the first task, not here."""
    session = Session(executor, on_progress)
    try:
        yield session
    finally:
        session.close()


def _build(phase: Phase, root: str) -> Pipeline:
    """The pipeline of a phase, which works on a root."""
    pipeline = phase.pipeline()
    if not is_url(root):
        pipeline.folders.append(root)
    return pipeline


def _check_failed_fraction(params: Params, reports: dict[str, PhaseReport]) -> None:
    rows = sum(report.rows for report in reports.values())
    failed = sum(report.counts.get("failed", 0) for report in reports.values())
    if rows and failed / rows > params.max_failed_fraction:
        raise PhaseError(
            f"{params.phase}: failed rows must be at most {params.max_failed_fraction:.0%} "
            f"({params.phase}.max_failed_fraction), got {failed} of {rows}. All rows are committed; "
            f"`curator show ROOT {params.table} --status failed` tells why each failed.",
            dict(reports),
        )
