"""The front door: open a session, run phases in it.

    with open_session(ExecutorParams()) as session:
        reports = session.run_phase(params, inputs, outputs)

A session keeps its workers between phases. Work starts when there is some: a phase whose rows are all there already
starts nothing.
"""

import importlib.metadata
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages import registry
from stages.errors import ManifestError, PhaseError
from stages.manifest import (
    ALL,
    CommittedFile,
    ItemKey,
    ManifestRef,
    RowWriter,
    commit_table,
    last_commit,
    read_commit,
    read_item,
    stored_items,
)
from stages.params import ExecutorParams, Params
from stages.phase import Phase, PhaseReport
from stages.pipeline import Executor, ItemResult, RunStats
from stages.storage import Storage
from stages.tasks import Failed, Rejected, Row, Task

logger = logging.getLogger(__name__)

Inputs = Mapping[str, list[ManifestRef]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase has come.

    Attributes:
        phase: its name.
        done: items finished in this run, not counting those that were there already.
        failed: how many of them failed.
        total: items to work on, of the partitions planned so far.
        seconds: since the phase began.
    """

    phase: str
    done: int
    failed: int
    total: int
    seconds: float

    @property
    def items_per_s(self) -> float:
        """Rate since the phase began."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at this rate; None before the first item."""
        return (self.total - self.done) / self.items_per_s if self.done else None


class Session:
    """Runs phases on one set of workers."""

    def __init__(self, executor: ExecutorParams, on_progress: Callable[[Progress], None] | None = None) -> None:
        self.executor_params = executor
        self.on_progress = on_progress
        self.run_id = uuid.uuid4().hex
        self._executor: Executor | None = None

    def run_phase(self, params: Params, inputs: Inputs, outputs: list[ManifestRef]) -> dict[str, PhaseReport]:
        """Bring the tables of one phase up to date and return what was done, by partition.

        Each partition is committed as soon as its last item is done, so that those before an error stay.

        Raises:
            ManifestError: an input was never committed.
            PhaseError: a stage cannot be set up, or, after all is committed, more than
                `max_failed_fraction` of the rows failed.
        """
        started = time.monotonic()
        stats = RunStats()
        runs: dict[str, _PartitionRun] = {}
        reports: dict[str, PhaseReport] = {}
        phase: Phase[Any] = registry.load("phase", params.phase)(params, outputs[0].root)
        tables = _InputTables(phase, inputs)

        def settle(run: "_PartitionRun") -> None:
            if run.is_done and run.output.partition not in reports:
                reports[run.output.partition] = run.commit()

        def tasks() -> Iterator[Task]:
            for output in outputs:
                run = _PartitionRun(phase, output, tables, self.run_id)
                runs[output.partition] = run
                yield from run.tasks()
                settle(run)

        try:
            for result in self._results(phase, tasks(), stats):
                if result is None:
                    for run in runs.values():
                        run.writer.flush_if_due()
                else:
                    run = runs[result.task_id.split("/", 1)[0]]
                    run.take(result)
                    settle(run)
                self._tell(phase, runs, started)
        finally:
            for run in runs.values():
                run.writer.flush()
        for report in reports.values():
            report.stages = stats.stages
            report.seconds = time.monotonic() - started
            for stage in stats.stages.values():
                report.notes.update(stage.counters)
        _check_failed_fraction(params, reports)
        return reports

    def _results(self, phase: Phase[Any], tasks: Iterator[Task], stats: RunStats) -> Iterator[ItemResult | None]:
        """Results of the tasks; starts an executor only where there is a first task."""
        first = next(tasks, None)
        if first is None:
            return
        if self._executor is None:
            loaded = registry.load("executor", self.executor_params.mode)
            self._executor = loaded(self.executor_params)
        pipeline = phase.pipeline().build()
        logger.info("%s: %s", phase.params.phase, pipeline.describe())
        yield from self._executor.run(pipeline, itertools.chain([first], tasks), stats)

    def _tell(self, phase: Phase[Any], runs: "dict[str, _PartitionRun]", started: float) -> None:
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    phase.params.phase,
                    sum(run.computed for run in runs.values()),
                    sum(run.failed for run in runs.values()),
                    sum(run.to_compute for run in runs.values()),
                    time.monotonic() - started,
                )
            )

    def close(self) -> None:
        """End the workers, and Ray where this session started it."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None


@contextmanager
def open_session(executor: ExecutorParams, on_progress: Callable[[Progress], None] | None = None) -> Iterator[Session]:
    """A session that is closed whatever happens. Ray starts at the first work, not here."""
    session = Session(executor, on_progress)
    try:
        yield session
    finally:
        session.close()


class _InputTables:
    """Kept rows of a phase's inputs; a table that spans partitions is read once."""

    def __init__(self, phase: Phase[Any], inputs: Inputs) -> None:
        missing = [asset for asset in phase.inputs if asset not in inputs]
        if missing:
            raise ManifestError(f"Phase {phase.params.phase} requires inputs {missing}, got {list(inputs)}.")
        self._inputs = {asset: inputs[asset] for asset in phase.inputs}
        self._spanning: dict[str, pa.Table] = {}

    def of(self, output: ManifestRef) -> dict[str, pa.Table]:
        return {asset: self._table(refs, output) for asset, refs in self._inputs.items()}

    def _table(self, refs: list[ManifestRef], output: ManifestRef) -> pa.Table:
        if output.partition == ALL:
            return pa.concat_tables([_kept(ref) for ref in refs])
        for ref in refs:
            if ref.partition == output.partition:
                return _kept(ref)
        for ref in refs:
            if ref.partition == ALL:
                if ref.asset not in self._spanning:
                    self._spanning[ref.asset] = _kept(ref)
                table = self._spanning[ref.asset]
                return table.filter(pc.equal(table["partition"], output.partition))
        raise ManifestError(
            f"{output.asset} of partition {output.partition!r} requires an input of that partition, got {refs}."
        )


def _kept(ref: ManifestRef) -> pa.Table:
    storage = Storage(ref.root)
    commit = last_commit(storage, ref)
    if commit is None:
        raise ManifestError(
            f"Nothing is committed for {ref.asset} of partition {ref.partition!r} under {storage.root}. "
            "Materialize it first."
        )
    table = read_commit(storage, ref, commit)
    return table.filter(pc.equal(table["status"], "kept"))


class _PartitionRun:
    """One phase on one partition: which items have rows, which must be worked on, and the commit."""

    def __init__(self, phase: Phase[Any], output: ManifestRef, tables: _InputTables, run_id: str) -> None:
        self.output = output
        self.computed = self.failed = self.redecided = 0
        self._phase = phase
        self._storage = Storage(output.root)
        self._decision_key = phase.decision_key()
        self._items = phase.items(tables.of(output), output)
        self._index = {phase.row_key(item): place for place, item in enumerate(_rows(self._items))}
        if len(self._index) != len(self._items):
            raise ManifestError(
                f"{output.asset} of partition {output.partition!r} has {len(self._items)} items but "
                f"{len(self._index)} keys: two items are equal in all of {phase.key_columns}."
            )
        self.writer = RowWriter(self._storage, output, decision_key=self._decision_key, lineage=_lineage(phase, run_id))
        stored = stored_items(self._storage, output)
        known = phase.reusable(output, set(stored.worked))
        self._taken: dict[str, CommittedFile] = {}
        redecide: dict[str, CommittedFile] = {}
        for row_key in self._index:
            if row_key not in known:
                continue
            decided = stored.decided.get(ItemKey(row_key, self._decision_key))
            if decided:
                self._taken[row_key] = decided
            else:
                redecide[row_key] = stored.worked[row_key]
        self._redecide(redecide)
        self._pending = [key for key in self._index if key not in self._taken and key not in redecide]
        self._open = set(self._pending)
        self.to_compute = len(self._pending)

    @property
    def is_done(self) -> bool:
        return not self._open

    def tasks(self) -> Iterator[Task]:
        for row_key in self._pending:
            yield self._phase.task(self._item(row_key), f"{self.output.partition}/{row_key}")

    def take(self, result: ItemResult) -> None:
        """Turn what became of one task into the whole rows of its item."""
        row_key = result.task_id.split("/", 1)[1]
        self._open.discard(row_key)
        self.computed += 1
        tables = [outcome for outcome in result.outcomes if isinstance(outcome, pa.Table)]
        if tables:
            self.writer.append(row_key, self._stamped(pa.concat_tables(tables), row_key))
            return
        rows: list[Row] = []
        for outcome in result.outcomes:
            if isinstance(outcome, Rejected | Failed):
                rows.append(self._phase.lost_row(self._item(row_key), outcome))
            elif isinstance(outcome, list):
                rows.extend(outcome)
        self.failed += any(row["status"] == "failed" for row in rows)
        self.writer.append(row_key, [self._decided(row, row_key) for row in rows])

    def commit(self) -> PhaseReport:
        """Write what waits and make this the table."""
        self.writer.flush()
        chosen: dict[str, tuple[CommittedFile, list[str]]] = {}
        for row_key, entry in self._taken.items():
            chosen.setdefault(entry.path, (entry, []))[1].append(row_key)
        files = [_part(entry, keys) for entry, keys in chosen.values()]
        files.extend(self.writer.files)
        commit = commit_table(self._storage, self.output, files, self._lineage())
        table = read_commit(self._storage, self.output, commit)
        self._phase.finish(self.output, table)
        present = set(table["row_key"].to_pylist())
        return PhaseReport(
            phase=self._phase.params.phase,
            asset=self.output.asset,
            partition=self.output.partition,
            items=len(self._index),
            reused=len(self._taken),
            redecided=self.redecided,
            computed=self.computed,
            rows=len(table),
            counts=commit.counts,
            reasons=commit.reasons,
            missing=sum(key not in present for key in self._index),
            commit=commit.number,
            data_version=commit.digest,
        )

    def _item(self, row_key: str) -> Row:
        return _rows(self._items.slice(self._index[row_key], 1)).__next__()

    def _lineage(self) -> dict[str, Any]:
        return _lineage(self._phase, "")

    def _redecide(self, redecide: dict[str, CommittedFile]) -> None:
        by_file: dict[str, list[str]] = {}
        for row_key, entry in redecide.items():
            by_file.setdefault(entry.path, []).append(row_key)
        for row_keys in by_file.values():
            rows: dict[str, list[Row]] = {key: [] for key in row_keys}
            for row in read_item(self._storage, self.output, redecide[row_keys[0]], row_keys):
                rows[row["row_key"]].append(row)
            for row_key, stored in rows.items():
                self.writer.append(row_key, [self._decided(row, row_key) for row in stored])
        self.redecided = len(redecide)

    def _decided(self, row: Row, row_key: str) -> Row:
        row = {**row, "row_key": row_key, "decision_key": self._decision_key}
        return row if row["status"] == "failed" else self._phase.decide(row)

    def _stamped(self, table: pa.Table, row_key: str) -> pa.Table:
        for name, value in (("row_key", row_key), ("decision_key", self._decision_key)):
            column = pa.array([value] * len(table), pa.string())
            place = table.schema.get_field_index(name)
            table = table.append_column(name, column) if place < 0 else table.set_column(place, name, column)
        return table


def _rows(table: pa.Table) -> Iterator[Row]:
    """Rows of a table one by one, so that a long table is never a list of dicts. Map columns become dicts."""
    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            for name in maps:
                row[name] = dict(row[name] or [])
            yield row


def _part(entry: CommittedFile, row_keys: list[str]) -> CommittedFile:
    """The part of a file that holds these items."""
    kept = set(row_keys)
    transient = [key for key in entry.transient if key in kept]
    return CommittedFile(entry.path, entry.sha256, entry.decision_key, sorted(kept), transient)


def _lineage(phase: Phase[Any], run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "phase": phase.params.phase,
        "code_version": phase.params.code_version,
        "params": phase.params.model_dump(mode="json"),
        "identity": phase.identity(),
        "packages": _package_versions(),
    }


def _package_versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in ("curator-dagster", "av", "torch", "ray", "numpy", "faiss-cpu", "pyarrow", "opencv-python-headless"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _check_failed_fraction(params: Params, reports: dict[str, PhaseReport]) -> None:
    rows = sum(report.rows for report in reports.values())
    failed = sum(report.counts.get("failed", 0) for report in reports.values())
    if rows and failed / rows > params.max_failed_fraction:
        raise PhaseError(
            f"{params.phase}: failed rows must be at most {params.max_failed_fraction:.0%} "
            f"({params.phase}.max_failed_fraction), got {failed} of {rows}. All rows are committed; "
            f"`curator show ROOT {params.asset} --status failed` tells why each failed."
        )
