"""One phase on one partition: which items have rows already, which must be worked on, and the commit."""

import importlib.metadata
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from stages.errors import ManifestError, Reason
from stages.manifest import (
    Commit,
    CommittedFile,
    ManifestRef,
    RowWriter,
    commit_table,
    last_commit,
    read_commit,
    read_items,
    reusable_items,
)
from stages.phase import Phase, PhaseReport
from stages.pipeline import ItemResult
from stages.run.changes import changes
from stages.run.inputs import InputTables
from stages.schemas import ASSETS, STATUSES
from stages.storage import Storage
from stages.tasks import Failed, Rejected, Row, Task


class TableRun:
    """One phase on one partition: which items have rows, which must be worked on, and the commit."""

    def __init__(
        self, phase: Phase[Any], output: ManifestRef, tables: InputTables, run_id: str, transient: Collection[str]
    ) -> None:
        self.output = output
        self.computed = self.failed = self.redecided = 0
        self._phase = phase
        self._storage = Storage(output.root)
        self._decision_key = phase.decision_key()
        self._items = phase.items(tables.of(output), output)
        keyed = self._items.select(phase.key_columns)
        self._index = {phase.row_key(item): place for place, item in enumerate(_rows(keyed))}
        if len(self._index) != len(self._items):
            raise ManifestError(
                f"{output.asset} of partition {output.partition!r} has {len(self._items)} items but "
                f"{len(self._index)} keys: two items are equal in all of {phase.key_columns}."
            )
        self._lineage = _lineage(phase, run_id, tables)
        newest = last_commit(self._storage, output)
        self._changes = changes(phase.params, self._lineage["identity"], newest.lineage if newest else None)
        self.writer = RowWriter(self._storage, output, decision_key=self._decision_key, lineage=self._lineage)
        stored = reusable_items(self._storage, output, {*transient, *phase.params.retry_reasons}, newest)
        files = {key: file for key in stored.worked if (file := stored.file_of(key, self._decision_key))}
        self._taken: dict[str, CommittedFile] = {}
        redecide: dict[str, CommittedFile] = {}
        for row_key in phase.reusable(output, files).intersection(self._index):
            file = files[row_key]
            (self._taken if file.decision_key == self._decision_key else redecide)[row_key] = file
        self._redecide(redecide)
        self._pending = [key for key in self._index if key not in self._taken and key not in redecide]
        self.to_compute = len(self._pending)
        self._costs = array("d", map(phase.cost, _rows(self._items)) if self._pending else [])
        self.cost_total, self.cost_done = sum(map(self._cost, self._pending)), 0.0

    @property
    def is_done(self) -> bool:
        """True once every item has its rows."""
        return self.computed == self.to_compute

    def tasks(self) -> Iterator[Task]:
        """Tasks of the items to work on, built one by one as they are asked for."""
        for row_key in sorted(self._pending, key=self._cost, reverse=True):
            yield self._phase.task(self._item(row_key), f"{self.output.partition}/{row_key}")

    def take(self, result: ItemResult) -> None:
        """Turn what became of one task into the whole rows of its item."""
        row_key = result.task_id.split("/", 1)[1]
        self.computed += 1
        self.cost_done += self._cost(row_key)
        rows = self._whole_rows(row_key, result)
        self.failed += "failed" in rows["status"].to_pylist()
        is_passing = any(isinstance(fate, Rejected) and fate.is_passing for fate in result.outcomes)
        self.writer.append(row_key, rows, is_passing=is_passing)

    def _whole_rows(self, row_key: str, result: ItemResult) -> pa.Table:
        """The item's rows as a table; what does not fit the schema or raises fails this item alone."""
        tables = [outcome for outcome in result.outcomes if isinstance(outcome, pa.Table)]
        fates = [fate for fate in result.outcomes if isinstance(fate, Rejected | Failed)]
        lost = [self._phase.lost_row(self._item(row_key), fate) for fate in fates]
        done = [row for rows in result.outcomes if isinstance(rows, list) for row in rows]
        try:
            if tables:
                return self._stamped(pa.concat_tables(tables), row_key)
            return self._table([self._decided(row, row_key) for row in [*done, *lost]])
        except Exception as error:  # noqa: BLE001 - rows of a user's stage and a user's decision: theirs may be anything
            failure = Failed(Reason.STAGE_ERROR, f"{type(error).__name__}: {error}")
            return self._table([self._decided(self._phase.lost_row(self._item(row_key), failure), row_key)])

    def _table(self, rows: list[Row]) -> pa.Table:
        if not rows:
            raise ManifestError("A stage must make at least one row of a task, or reject it; got none.")
        wrong = [row["status"] for row in rows if row["status"] not in STATUSES]
        if wrong:
            raise ManifestError(f"The status of a row must be kept, rejected or failed, got {wrong[0]!r}.")
        return pa.Table.from_pylist(rows, schema=ASSETS[self.output.asset].schema)

    def commit(self) -> PhaseReport:
        """Write what waits and make this the table."""
        self.writer.flush()
        chosen: dict[str, tuple[CommittedFile, list[str]]] = {}
        for row_key, entry in self._taken.items():
            chosen.setdefault(entry.path, (entry, []))[1].append(row_key)
        files = [_part(entry, keys) for entry, keys in chosen.values()]
        files.extend(self.writer.files)
        commit = commit_table(self._storage, self.output, files, self._lineage)
        self._phase.finish(self.output)
        return PhaseReport(
            phase=self._phase.params.phase,
            asset=self.output.asset,
            partition=self.output.partition,
            items=len(self._index),
            reused=len(self._taken),
            redecided=self.redecided,
            computed=self.computed,
            changes=self._changes,
            rows=sum(commit.counts.values()),
            counts=commit.counts,
            reasons=commit.reasons,
            missing=self._missing(commit),
            commit=commit.number,
            data_version=commit.digest,
        )

    def _missing(self, commit: Commit) -> int:
        """How many rows the items lack in the committed table."""
        present = Counter(read_commit(self._storage, self.output, commit, ["row_key"])["row_key"].to_pylist())
        items = zip(self._index, _rows(self._items), strict=True)
        return sum(max(0, self._phase.least_rows(item) - present[row_key]) for row_key, item in items)

    def _cost(self, row_key: str) -> float:
        return self._costs[self._index[row_key]]

    def _item(self, row_key: str) -> Row:
        return _rows(self._items.slice(self._index[row_key], 1)).__next__()

    def _redecide(self, redecide: dict[str, CommittedFile]) -> None:
        by_file: dict[str, list[str]] = {}
        for row_key, entry in redecide.items():
            by_file.setdefault(entry.path, []).append(row_key)
        for row_keys in by_file.values():
            rows: dict[str, list[Row]] = {key: [] for key in row_keys}
            for row in read_items(self._storage, self.output, redecide[row_keys[0]], row_keys):
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
    failed = {key: reasons for key, reasons in entry.failed.items() if key in kept}
    return replace(entry, items=sorted(kept), transient=transient, failed=failed)


def _lineage(phase: Phase[Any], run_id: str, tables: InputTables) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "inputs": {asset: dict(versions) for asset, versions in tables.versions.items()},
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
