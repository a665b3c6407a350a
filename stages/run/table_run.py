"""Runs one phase on one partition: finds the items that have rows, computes the others, and commits the table."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa

from stages.errors import ManifestError, Reason
from stages.manifest import (
    Commit,
    CommittedFile,
    ItemRows,
    ManifestRef,
    RowWriter,
    StoredItems,
    commit_table,
    iter_rows,
    last_commit,
    load_commit,
    read_items,
    read_unordered,
    reusable_items,
)
from stages.phase import Phase, PhaseReport, canonical
from stages.pipeline import ItemResult
from stages.run.changes import describe_changes
from stages.run.inputs import InputTables
from stages.run.item_files import checked_rows, file_with_items
from stages.run.lineage import lineage_of_table
from stages.run.precedence import Precedence, Superseded
from stages.run.work import ItemWork, Work
from stages.storage import Storage, digest
from stages.tasks import Failed, Rejected, Row, Task

ITEMS_AT_ONCE = 256
"""Items that are taken out of the table together: one by one, each would take ten times as long."""


class TableRun:
    """One phase on one partition: reuses, redecides or computes each item, and commits the table.

    It is planned by one thread, fed by a second one, and committed by a third; never by two at a time. Row files are
    written by `threads`, if they are given.

    Attributes:
        output: the table.
        superseded: set by the commit where the version of another run prevailed.
        computed: items computed so far.
        failed: computed items with a failed row.
        redecided: items decided again from stored scores.
        writer_class: makes the writer.
        writer: writes the rows.
        to_compute: items to compute.
        work: amount of work of the items.
    """

    writer_class: ClassVar[type[RowWriter]] = RowWriter

    def __init__(
        self,
        phase: Phase[Any],
        output: ManifestRef,
        tables: InputTables,
        run_id: str,
        transient: Collection[str],
        *,
        run_number: int = 0,
        threads: Executor | None = None,
    ) -> None:
        self.output = output
        self.computed = self.failed = self.redecided = 0
        self._phase = phase
        self._storage = Storage(output.root)
        self._decision_key = phase.decision_key()
        self._items = phase.items(tables.tables_for(output), output)
        self._index = {row_key: index for index, row_key in enumerate(phase.row_keys(self._items))}
        if len(self._index) != len(self._items):
            raise ManifestError(
                f"{output.asset} of partition {output.partition!r} has {len(self._items)} items but "
                f"{len(self._index)} keys: two items are equal in all of {phase.key_columns}."
            )
        self._lineage = lineage_of_table(
            phase, output, run_id=run_id, run_number=run_number, inputs=tables.versions_of(output)
        )
        self.superseded: Superseded | None = None
        self._precedence = Precedence(phase, output, self._lineage)
        newest = last_commit(self._storage, output)
        self._number_before = newest.number if newest else 0
        self._changes = describe_changes(phase.params, self._lineage["identity"], newest.lineage if newest else None)
        self._threads = threads
        self.writer = self._new_writer(self._decision_key)
        stored = reusable_items(self._storage, output, {*transient, *phase.params.retry_reasons}, newest)
        files = stored.preferred_files(self._decision_key)
        self._stored = stored
        self._reused: dict[str, CommittedFile] = {}
        redecide: dict[str, CommittedFile] = {}
        for row_key in phase.reusable(output, files).intersection(self._index):
            file = files[row_key]
            (self._reused if file.decision_key == self._decision_key else redecide)[row_key] = file
        self._redecide(redecide)
        pending = [key for key in self._index if key not in self._reused and key not in redecide]
        followed = self._rows_without_work(pending, stored)
        pending = [key for key in pending if key not in followed]
        self._pending = {row_key: place for place, row_key in enumerate(pending)}
        self.to_compute = len(pending)
        self.work = ItemWork(phase, self._items_of(pending))

    def _new_writer(self, decision_key: str) -> RowWriter:
        return self.writer_class(
            self._storage,
            self.output,
            decision_key=decision_key,
            lineage=self._lineage,
            threads=self._threads,
            on_unfit=self._failed_rows,
        )

    @property
    def num_items(self) -> int:
        """Items of the table, computed or not."""
        return len(self._index)

    @property
    def is_done(self) -> bool:
        """True once every item has its rows."""
        return self.computed == self.to_compute

    def tasks(self) -> Iterator[Task]:
        """Build the tasks of the items to compute one by one."""
        order = list(self._pending)
        if self._phase.longest_first:
            order.sort(key=lambda row_key: self.work.of(self._pending[row_key]).cost, reverse=True)
        for row_key, item in zip(order, self._items_of(order), strict=True):
            yield self._phase.task(item, f"{self.output.partition}/{row_key}")

    def unfinished_work(self, row_key: str, counters: Mapping[str, float]) -> tuple[Work, float]:
        """The work that is done of an item in work, and its share of the item, by what its stage has counted."""
        index = self._pending[row_key]
        share = self.work.share_done(index, counters)
        return self.work.of(index).times(share), share

    def add_result(self, result: ItemResult) -> None:
        """Turn the outcomes of one task into all rows of its item."""
        row_key = result.task_id.split("/", 1)[1]
        self.computed += 1
        self.work.finish(self._pending[row_key])
        rows = self._item_rows(row_key, result)
        is_transient = any(isinstance(outcome, Rejected) and outcome.is_transient for outcome in result.outcomes)
        statuses = [row["status"] for row in rows] if isinstance(rows, list) else rows["status"].to_pylist()
        self.failed += "failed" in statuses
        self.writer.append(row_key, rows, is_transient=is_transient)

    def _item_rows(self, row_key: str, result: ItemResult) -> ItemRows:
        """All rows of an item; those that raise fail this item alone, as do later those that do not fit the schema."""
        tables = [outcome for outcome in result.outcomes if isinstance(outcome, pa.Table)]
        outcomes = [outcome for outcome in result.outcomes if isinstance(outcome, Rejected | Failed)]
        unsuccessful = [self._phase.outcome_row(self._item(row_key), outcome) for outcome in outcomes]
        successful = [row for rows in result.outcomes if isinstance(rows, list) for row in rows]
        try:
            if tables:
                return self._with_keys(pa.concat_tables(tables), row_key)
            return checked_rows([self._decide(row, row_key) for row in [*successful, *unsuccessful]])
        except Exception as error:  # noqa: BLE001 - a user's stage and a user's decision may raise anything
            return self._failed_rows(row_key, error)

    def _failed_rows(self, row_key: str, error: Exception) -> list[Row]:
        """The row of an item whose rows raise or do not fit the schema."""
        failure = Failed(Reason.STAGE_ERROR, f"{type(error).__name__}: {error}")
        return [self._decide(self._phase.outcome_row(self._item(row_key), failure), row_key)]

    def commit(self) -> PhaseReport:
        """Write the buffered rows, commit the table and report on it."""
        self.writer.finish()
        chosen: dict[str, tuple[CommittedFile, list[str]]] = {}
        for row_key, entry in self._reused.items():
            chosen.setdefault(entry.path, (entry, []))[1].append(row_key)
        files = [file_with_items(entry, keys) for entry, keys in chosen.values()]
        files.extend(self.writer.files)
        gives_way = self._precedence.gives_way
        commit = commit_table(self._storage, self.output, self._compared(files), self._lineage, gives_way)
        if (prevailing := self._precedence.superseded) and prevailing.number == commit.number:
            self.superseded = prevailing
        return PhaseReport(
            phase=self._phase.params.phase,
            asset=self.output.asset,
            partition=self.output.partition,
            items=len(self._index),
            reused=len(self._reused),
            redecided=self.redecided,
            computed=self.computed,
            changes=self._changes,
            rows=sum(commit.counts.values()),
            counts=commit.counts,
            reasons=commit.reasons,
            missing=0 if self.superseded else self._num_missing_rows(commit),
            commit=commit.number,
            data_version=commit.digest,
            superseded=self.superseded.text if self.superseded else "",
            supersedes=self._version_between(commit),
        )

    def _version_between(self, commit: Commit) -> str:
        """Which version another run committed since the table was planned, in the place of which this commit stands."""
        is_own = commit.lineage.get("run_id") == self._lineage["run_id"]
        if not is_own or commit.number - 1 <= self._number_before:
            return ""
        return self._precedence.describe(load_commit(self._storage, self.output, commit.number - 1))

    def _compared(self, files: list[CommittedFile]) -> list[CommittedFile]:
        """The files of the table, with those items in another one that are decided otherwise beside the others.

        The decision key of that one is a hash of all that was found too: so equal tables take the file that there is.
        """
        if not self._phase.compared_columns:
            return files
        decided_alone = Commit(0, "", files, {}, {}, {})
        columns = ["row_key", *self._phase.compared_columns]
        found = self._phase.compare(read_unordered(self._storage, self.output, decided_alone, columns))
        if not found:
            return files
        key = digest(self._decision_key, canonical(found))
        writer = self._new_writer(key)
        known: dict[str, tuple[CommittedFile, list[str]]] = {}
        for entry in files:
            new: dict[str, list[Row]] = {}
            for row_key in sorted(found.keys() & set(entry.items)):
                if there := self._stored.decided_file(row_key, key):
                    known.setdefault(there.path, (there, []))[1].append(row_key)
                else:
                    new[row_key] = found[row_key]
            self._write_compared(writer, entry, new)
        writer.finish()
        others = [file_with_items(entry, [each for each in entry.items if each not in found]) for entry in files]
        return [*others, *(file_with_items(entry, keys) for entry, keys in known.values()), *writer.files]

    def _write_compared(self, writer: RowWriter, entry: CommittedFile, found: Mapping[str, list[Row]]) -> None:
        """Write the rows of items of a file, decided with what was found of them."""
        rows: dict[str, list[Row]] = {row_key: [] for row_key in found}
        for row in read_items(self._storage, self.output, entry, found) if found else ():
            rows[row["row_key"]].append(row)
        for row_key, stored in rows.items():
            decided = [
                row if row["status"] == "failed" else self._phase.decide_compared(row, each)
                for row, each in zip(stored, found[row_key], strict=True)
            ]
            writer.append(
                row_key,
                [{**row, "decision_key": writer.decision_key} for row in decided],
                is_transient=row_key in entry.transient,
            )

    def _num_missing_rows(self, commit: Commit) -> int:
        """The number of rows that items lack in the committed table."""
        if type(self._phase).min_rows is Phase.min_rows:
            return self._num_items_without_rows(commit)
        keys = read_unordered(self._storage, self.output, commit, ["row_key"])["row_key"]
        present = Counter({entry["values"]: entry["counts"] for entry in keys.value_counts().to_pylist()})
        items = zip(self._index, iter_rows(self._items), strict=True)
        return sum(max(0, self._phase.min_rows(item) - present[row_key]) for row_key, item in items)

    def _num_items_without_rows(self, commit: Commit) -> int:
        """Items in files of this run have rows, or the writer had refused them; files of others are looked into."""
        own = {entry.path for entry in self.writer.files}
        missing = self._index.keys() - {key for entry in commit.files if entry.path in own for key in entry.items}
        others = replace(commit, files=[entry for entry in commit.files if entry.path not in own])
        return len(
            missing - set(read_unordered(self._storage, self.output, others, ["row_key"])["row_key"].to_pylist())
        )

    def _item(self, row_key: str) -> Row:
        return next(self._items_of([row_key]))

    def _items_of(self, row_keys: Sequence[str]) -> Iterator[Row]:
        """The items of these row keys, in their order."""
        for start in range(0, len(row_keys), ITEMS_AT_ONCE):
            indexes = [self._index[row_key] for row_key in row_keys[start : start + ITEMS_AT_ONCE]]
            yield from iter_rows(self._items.take(indexes))

    def _redecide(self, redecide: dict[str, CommittedFile]) -> None:
        by_file: dict[str, list[str]] = {}
        for row_key, entry in redecide.items():
            by_file.setdefault(entry.path, []).append(row_key)
        for row_keys in by_file.values():
            rows: dict[str, list[Row]] = {key: [] for key in row_keys}
            for row in read_items(self._storage, self.output, redecide[row_keys[0]], row_keys):
                rows[row["row_key"]].append(row)
            for row_key, stored in rows.items():
                self.writer.append(row_key, [self._decide(row, row_key) for row in stored])
        self.redecided += len(redecide)

    def _rows_without_work(self, pending: Sequence[str], stored: StoredItems) -> Collection[str]:
        """Append the rows that follow from stored rows of other keys; returns the row keys of their items."""
        files = list({file.path: file for file in stored.by_row_key.values()}.values()) if pending else []
        items = zip(pending, self._items_of(pending), strict=True)
        followed = self._phase.rows_without_work(self.output, files, items)
        for row_key, rows in followed.items():
            self.writer.append(row_key, checked_rows([self._decide(row, row_key) for row in rows]))
        self.redecided += len(followed)
        return followed.keys()

    def _decide(self, row: Row, row_key: str) -> Row:
        row = {**row, "row_key": row_key, "decision_key": self._decision_key}
        return row if row["status"] == "failed" else self._phase.decide(row)

    def _with_keys(self, table: pa.Table, row_key: str) -> pa.Table:
        for name, value in (("row_key", row_key), ("decision_key", self._decision_key)):
            column = pa.array([value] * len(table), pa.string())
            index = table.schema.get_field_index(name)
            table = table.append_column(name, column) if index < 0 else table.set_column(index, name, column)
        return table
