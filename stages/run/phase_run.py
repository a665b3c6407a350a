"""One phase over several partitions."""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

from stages.errors import CurationError, PhaseError, StorageError
from stages.manifest import ManifestRef
from stages.phase import Phase, PhaseReport
from stages.pipeline import ItemResult, RunStats
from stages.run.inputs import InputTables
from stages.run.planning import MAX_TABLES_AHEAD, plan_ahead
from stages.run.precedence import Superseded
from stages.run.progress import Progress, WorkTotals
from stages.run.status import describe_phase
from stages.run.table_run import TableRun
from stages.run.work import MAX_UNFINISHED_SHARE, Work
from stages.tasks import Task

NUM_THREADS = 16
"""Row files that are written at the same time, and tables that are committed."""
MAX_COMMITTING = 16
"""Most tables that are done and not committed yet; their rows are written, their keys are in memory."""
FLUSH_CHECK_S = 0.5
"""How often tables are asked for rows that have waited long enough."""
COMMIT_POLL_S = 0.4


class PhaseRun:
    """One phase over several partitions: plans the tasks, assigns results to their tables, commits finished tables.

    Tables are planned and committed, and their row files are written, by threads, so that whoever hands out tasks and
    takes results waits for no store. After its commit, only the report and the progress of a table stay in memory.

    Args:
        phase: to run.
        tables: its inputs.
        run_id: of the session.
        transient: reasons of failures that may pass.
        begin: called before a table is planned, by the thread that plans it; gives the number of the run's record.

    Attributes:
        stats: figures of the run of its pipeline.
        reports: of the committed tables, by partition.
        superseded: for each of them in the place of which the version of another run was left, why.
    """

    def __init__(
        self,
        phase: Phase[Any],
        tables: InputTables,
        *,
        run_id: str,
        transient: Collection[str],
        begin: Callable[[], int] = lambda: 0,
    ) -> None:
        self.stats = RunStats()
        self._phase = phase
        self._tables = tables
        self._run_id = run_id
        self._begin = begin
        self._transient = transient
        # Apart, since commits wait for row files, and plans are given up at an interrupt.
        self._plan_threads = ThreadPoolExecutor(MAX_TABLES_AHEAD, "plans")
        self._row_threads = ThreadPoolExecutor(NUM_THREADS, "rows")
        self._commit_threads = ThreadPoolExecutor(NUM_THREADS, "commits")
        self._running: dict[str, TableRun] = {}
        self._committing: dict[str, tuple[TableRun, Future[PhaseReport]]] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._flushed_at = 0.0
        self._committed_totals = WorkTotals()
        self._planning_errors: dict[str, CurationError] = {}
        self.reports: dict[str, PhaseReport] = {}
        self.superseded: dict[str, Superseded] = {}
        self._committed: list[ManifestRef] = []
        self._num_outputs = self._num_planned = 0
        self._started = time.monotonic()

    def tasks(self, outputs: list[ManifestRef]) -> Iterator[Task]:
        """Plan the partitions in their order; commit one without work at once, keep the errors of missing inputs."""
        self._num_outputs = len(outputs)
        for output, planned in plan_ahead(self._plan, outputs, self._plan_threads):
            self._num_planned += 1
            try:
                run = planned.result()
            except StorageError:  # retried already; the next partition would wait as long
                raise
            except CurationError as error:
                self._planning_errors[output.partition] = error
                continue
            self._running[output.partition] = run
            yield from run.tasks()
            self._commit_if_done(run)

    def _plan(self, output: ManifestRef) -> TableRun:
        return TableRun(
            self._phase,
            output,
            self._tables,
            self._run_id,
            self._transient,
            run_number=self._begin(),
            threads=self._row_threads,
        )

    def add_result(self, result: ItemResult | None) -> None:
        """Add one result to its table; None only flushes rows that are due.

        Raises:
            StorageError: the root did not take rows or a commit, of this table or of one before.
        """
        self._take_commits()
        now = time.monotonic()
        if now - self._flushed_at > FLUSH_CHECK_S:
            self._flushed_at = now
            for run in self._running.values():
                run.writer.flush_if_due()
        if result is None:
            return
        run = self._running[result.task_id.split("/", 1)[0]]
        run.add_result(result)
        self._commit_if_done(run)

    def commits(self) -> Iterator[None]:
        """Wait for the commits that are under way, and yield about twice a second meanwhile."""
        while self._committing:
            wait([commit for _, commit in self._committing.values()], COMMIT_POLL_S, FIRST_COMPLETED)
            self._take_commits()
            yield

    @property
    def num_in_work(self) -> int:
        """Tables that are planned and not committed yet."""
        return len(self._running) + len(self._committing)

    def progress(self) -> Progress:
        """Progress of all partitions together."""
        runs = [*self._running.values(), *(run for run, _ in self._committing.values())]
        totals = WorkTotals.sum([self._committed_totals, *map(WorkTotals.of, runs)])
        unplanned = self._num_outputs - self._num_planned
        # Rows that exist are often those of the first partitions, so the mean is taken of those that had work.
        expected = totals.total.times(1 + unplanned / max(1, totals.tables_with_work))
        unfinished, slowest_s = self._unfinished()
        done = Work.sum([totals.done, unfinished, self._parts_done(expected)])
        is_over = totals.computed == totals.to_compute and not unplanned
        seconds = time.monotonic() - self._started
        return Progress(
            phase=self._phase.params.title,
            done=totals.computed,
            failed=totals.failed,
            total=totals.to_compute,
            seconds=seconds,
            share=1.0 if is_over else done.cost / (expected.cost or 1.0),
            activity=self.stats.activity,
            starting_s=seconds if self.stats.work_began_at is None else self._starting_s,
            video_s=done.video_s,
            video_total_s=expected.video_s,
            frames=self._counted_frames() if self._phase.frame_counter else done.frames,
            slowest_s=slowest_s,
            partitions=len(self.reports),
            total_partitions=self._num_outputs,
            is_planned=not unplanned,
        )

    def describe(self) -> dict[str, Any]:
        """What the run tells of itself, see `describe_phase`."""
        return describe_phase(self.progress(), self.stats, [*self._running, *self._committing])

    @property
    def _starting_s(self) -> float:
        """Seconds until the first item was worked on; 0 where none was."""
        return max(0.0, self.stats.work_began_at - self._started) if self.stats.work_began_at is not None else 0.0

    def _unfinished(self) -> tuple[Work, float]:
        """What is done of the items in work, and the seconds that the slowest of them still takes at its pace."""
        parts, slowest_s = [Work()], 0.0
        for batch in self.stats.running:
            partition, row_key = batch.task_ids[0].split("/", 1)
            if len(batch.task_ids) == 1 and partition in self._running:
                work, share = self._running[partition].unfinished_work(row_key, batch.counters)
                parts.append(work)
                if self._phase.part_counter not in batch.counters:  # others work on the same item
                    slowest_s = max(slowest_s, batch.seconds * (1 - share) / share if share else 0.0)
        return Work.sum(parts), slowest_s

    def _parts_done(self, expected: Work) -> Work:
        """What finished parts of unfinished items stand for."""
        counted = sum(stage.counters.get(self._phase.part_counter, 0.0) for stage in self.stats.stages.values())
        return expected.times(
            min(MAX_UNFINISHED_SHARE, max(0.0, counted / expected.frames)) if expected.frames else 0.0
        )

    def _counted_frames(self) -> float:
        """Frames that stages went through, by their counter: of finished batches, and of those in work."""
        counters = [*(stage.counters for stage in self.stats.stages.values())]
        counters += [dict(batch.counters) for batch in self.stats.running]
        return sum(each.get(self._phase.frame_counter, 0.0) for each in counters)

    def close(self) -> None:
        """Write the rows of finished items, also in unfinished partitions, and finish the commits that are under way.

        Raises:
            StorageError: the root does not answer.
        """
        self._plan_threads.shutdown(wait=False, cancel_futures=True)
        try:
            for run in self._running.values():
                run.writer.finish()
        finally:
            self._commit_threads.shutdown()  # first: a commit hands its last rows to the others
            self._row_threads.shutdown()
            self._take_commits()

    def complete_reports(self) -> None:
        """Set the figures of the whole run in all reports."""
        for report in self.reports.values():
            report.stages = self.stats.stages
            report.left_out_nodes = self.stats.left_out_nodes
            report.seconds = time.monotonic() - self._started
            report.starting_s = self._starting_s
            for stage in self.stats.stages.values():
                for name, amount in stage.counters.items():
                    report.counters[name] = report.counters.get(name, 0.0) + amount

    def finish(self) -> None:
        """Let the phase do what follows the commits."""
        if self._committed:
            number = self._phase.finish(self._committed)
            for report in self.reports.values():
                report.root_version = number

    def raise_planning_error(self) -> None:
        """Raise the error of a partition that could not be planned.

        Raises:
            ManifestError: no partition could be planned, since an input was never committed.
            PhaseError: other partitions were planned, and are finished.
        """
        if not self._planning_errors:
            return
        partition, error = next(iter(self._planning_errors.items()))
        planned = self.num_in_work + len(self.reports)
        if not planned:
            raise error
        total = len(self._planning_errors) + planned
        raise PhaseError(
            f"{self._phase.params.phase}: {len(self._planning_errors)} of {total} partitions could not be begun, "
            f"the first is {partition!r}: {error}",
            dict(self.reports),
        ) from error

    def _commit_if_done(self, run: TableRun) -> None:
        """Begin to commit a table whose items are all done; waits where very many commits are under way."""
        partition = run.output.partition
        if not run.is_done or partition not in self._running:
            return
        commit = self._commit_threads.submit(run.commit)
        self._committing[partition] = self._running.pop(partition), commit
        commit.add_done_callback(lambda _: self._ended.put(partition))
        while len(self._committing) > MAX_COMMITTING:
            wait([commit for _, commit in self._committing.values()], return_when=FIRST_COMPLETED)
            self._take_commits()

    def _take_commits(self) -> None:
        """Take the reports of tables that have been committed, then raise the error of one that could not be."""
        errors: list[BaseException] = []
        while not self._ended.empty():
            partition = self._ended.get()
            run, commit = self._committing.pop(partition)
            if (error := commit.exception()) is not None:
                errors.append(error)
                continue
            self.reports[partition] = commit.result()
            self._committed.append(run.output)
            if run.superseded is not None:
                self.superseded[partition] = run.superseded
            self._committed_totals = WorkTotals.sum([self._committed_totals, WorkTotals.of(run)])
        if errors:
            raise errors[0]
