"""Tells what a run would reuse, decide and compute, phase by phase, from keys and stored rows; writes nothing.

What follows from items that have to be computed first is not known: how many clips a new video has, say. A table with
such items is counted as far as the rows of the others go, and marked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from stages.manifest import (
    ALL,
    CommittedFile,
    ManifestRef,
    RowWriter,
    last_commit,
    layout_of,
    read_row_file,
    table_of_items,
)
from stages.params import Params
from stages.phase import Phase
from stages.run.inputs import Inputs, InputTables, in_schema, refs_read, with_commit
from stages.run.phases import PHASE_CLASSES, build_phase
from stages.run.table_run import TableRun
from stages.storage import Storage, map_concurrently
from stages.table_names import asset_of

Table = tuple[str, str]
"""Asset and partition."""


@dataclass
class PhasePlan:
    """What a run would do in one phase, all partitions together.

    Attributes:
        phase: its name, and that of a further embedder.
        reused: items whose rows exist.
        redecided: items that would be decided again from stored scores.
        computed: items that would be computed.
        is_open: more items may follow from what earlier phases compute.
        changes: descriptions of what changed since the tables' last versions, each once.
    """

    phase: str
    reused: int = 0
    redecided: int = 0
    computed: int = 0
    is_open: bool = False
    changes: list[str] = field(default_factory=lambda: [])


class DryRun:
    """Plans phases one after another, as a session runs them.

    Args:
        root: of the tables.
        register_root: a root with the register as it would be: the partitions of the run are registered there.
        transient: reasons of failures that may pass by themselves.
    """

    def __init__(self, root: str, register_root: str, transient: Collection[str]) -> None:
        self._root = root
        self._register_root = register_root
        self._transient = transient
        self._rows: dict[Table, pa.Table] = {}
        self._open: set[Table] = set()

    def plan(self, params: Params, inputs: Inputs, outputs: Sequence[ManifestRef]) -> PhasePlan:
        """What the phase would do, with the tables that the phases planned before would make.

        Further tables of the asset are planned by themselves, by `Params.further`.

        Raises:
            ManifestError: a table is damaged, or an input was never committed and would not be made.
            ParamsError: a name in the parameters is unknown.
        """
        # `read` has no inputs but the register; all others need the files beside the tables.
        phase = build_phase(params, self._root if PHASE_CLASSES[params.phase].inputs else self._register_root)
        tables = _PlannedTables(phase, inputs, self._rows)
        plan, storage = PhasePlan(params.title), Storage(self._root)
        for output in outputs:
            refs = [ref for asset in phase.inputs for ref in _refs_of(refs_read(params, asset, inputs[asset]), output)]
            has_open_input = any((ref.asset, ref.partition) in self._open for ref in refs)
            if output.partition == ALL:  # dedup reads versions, which rows of a run that was killed do not have
                has_open_input |= any(self._is_planned(ref) and last_commit(storage, ref) is None for ref in refs)
            if has_open_input and output.partition == ALL:  # one item over all clips, and these change
                self._open.add((output.asset, output.partition))
                plan.computed += 1
                continue
            plan.is_open |= has_open_input
            if has_open_input and len(phase.inputs) > 1:  # what does not depend on them cannot be told apart
                self._open.add((output.asset, output.partition))
                continue
            run = _PlannedTable(phase, output, tables, "", self._transient)
            plan.reused += run.num_reused
            plan.redecided += run.redecided
            plan.computed += run.to_compute
            plan.changes += [change for change in run.changes if change not in plan.changes]
            self._rows[output.asset, output.partition] = run.known_rows(_columns_of(output.asset))
            if run.to_compute or has_open_input:
                self._open.add((output.asset, output.partition))
        return plan

    def _is_planned(self, ref: ManifestRef) -> bool:
        return (ref.asset, ref.partition) in self._rows


class _RowCollector(RowWriter):
    """Keeps the rows that a run would write."""

    def flush(self) -> None:
        """Write nothing."""

    def rows(self, columns: list[str]) -> list[pa.Table]:
        """The rows, as tables with these columns."""
        return [table_of_items(self._rows, self._schema, self._on_unfit)[0].select(columns)] if self._rows else []


class _PlannedTable(TableRun):
    """A table that is planned only."""

    writer_class: ClassVar[type[RowWriter]] = _RowCollector
    writer: _RowCollector  # pyrefly: ignore[bad-override-mutable-attribute] - made by `writer_class`

    @property
    def num_reused(self) -> int:
        return len(self._reused)

    @property
    def changes(self) -> list[str]:
        return self._changes

    def known_rows(self, columns: list[str]) -> pa.Table:
        """The rows of the items that need not be computed."""
        keys: dict[str, tuple[CommittedFile, list[str]]] = {}
        for row_key, entry in self._reused.items():
            keys.setdefault(entry.path, (entry, []))[1].append(row_key)
        files = [replace(entry, items=row_keys) for entry, row_keys in keys.values()]
        layout = layout_of(self.output.asset)
        compared = self._phase.compared_columns
        is_compared, decided = bool(compared), self._phase.decided_columns
        read = list(dict.fromkeys([*columns, "row_key", *compared, *decided]))
        if is_compared and not decided:
            read = layout.schema.names
        stored = map_concurrently(lambda entry: read_row_file(self._storage, self.output.asset, entry, read), files)
        rows = pa.concat_tables([layout.schema.empty_table().select(read), *stored, *self.writer.rows(read)])
        rows = self._decided_beside_others(rows) if is_compared else rows
        return rows.select(columns).sort_by([(name, "ascending") for name in layout.sort_by])

    def _decided_beside_others(self, rows: pa.Table) -> pa.Table:
        """The rows as the commit would have them, were they the whole table."""
        found = self._phase.compare(rows.select(["row_key", *self._phase.compared_columns]))
        if not found:
            return rows
        waiting = {row_key: iter(each) for row_key, each in found.items()}
        decided = [
            self._phase.decide_compared(row, next(waiting[row["row_key"]])) if row["row_key"] in waiting else row
            for row in rows.to_pylist()
        ]
        return pa.Table.from_pylist(decided, schema=rows.schema)


class _PlannedTables(InputTables):
    """Input tables as they would be after the phases that were planned before."""

    _may_write: ClassVar[bool] = False

    def __init__(self, phase: Phase[Any], inputs: Inputs, rows: Mapping[Table, pa.Table]) -> None:
        super().__init__(phase, inputs)
        self._rows = rows

    def _rows_of_all(self, refs: Sequence[ManifestRef]) -> pa.Table:
        committed = [ref for ref in refs if (ref.asset, ref.partition) not in self._rows]
        planned = [self._kept_rows(ref) for ref in refs if ref not in committed]
        return pa.concat_tables([*([super()._rows_of_all(committed)] if committed else []), *planned])

    def _kept_rows(self, ref: ManifestRef, partition: str | None = None) -> pa.Table:
        planned = self._rows.get((ref.asset, ref.partition))
        if planned is None:
            return super()._kept_rows(ref, partition)
        if partition is not None:
            planned = planned.filter(pc.field("partition") == partition)
        columns = self._columns[asset_of(ref.asset)]
        table = planned.filter(pc.field("status") == "kept")
        if columns:
            table = table.select([*in_schema(ref.asset, columns), "status"])
        return with_commit(table, columns, None)


def _refs_of(refs: list[ManifestRef], output: ManifestRef) -> list[ManifestRef]:
    """The tables among them that this output is made from."""
    return refs if output.partition == ALL else [ref for ref in refs if ref.partition in (output.partition, ALL)]


def _columns_of(table: str) -> list[str]:
    """The columns of a table that later phases read in the driver, those that order it, and the status."""
    asset, layout = asset_of(table), layout_of(table)
    columns = {"status", *layout.sort_by}
    for phase in PHASE_CLASSES.values():
        if asset in phase.inputs:
            columns.update(phase.input_columns.get(asset, layout.schema.names))
    return [name for name in layout.schema.names if name in columns]
