"""The input tables of a phase."""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.manifest import (
    ALL,
    COMMIT_COLUMN,
    ManifestRef,
    last_commit,
    layout_of,
    load_commit,
    read_commit,
    read_kept_rows,
)
from stages.params import Params
from stages.phase import Phase
from stages.storage import Storage
from stages.table_names import asset_of

Inputs = Mapping[str, list[ManifestRef]]

MIN_COLLECTED = 100
"""Tables of one asset, read together, from which on their rows are collected."""
MAX_READ_ALONE = 16
"""Partitions up to which each is read alone from a table that spans all."""


class InputTables:
    """The kept rows of a phase's input tables; a table that spans all partitions is read once. Safe from any thread.

    Args:
        phase: the phase that reads the inputs.
        inputs: tables by asset.
        committed_versions: numbers of the commits that this run made, by asset and partition. These are read even if
            another run has committed since; of all other tables the newest commit is read.

    Attributes:
        versions: numbers of the commits that were read, by asset and partition.
    """

    _may_write: ClassVar[bool] = True

    def __init__(
        self,
        phase: Phase[Any],
        inputs: Inputs,
        committed_versions: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        missing = [asset for asset in phase.inputs if asset not in inputs]
        if missing:
            raise ManifestError(f"Phase {phase.params.phase} requires inputs {missing}, got {list(inputs)}.")
        self._inputs = {asset: refs_read(phase.params, asset, inputs[asset]) for asset in phase.inputs}
        self._columns = {asset: phase.columns_of(asset) for asset in phase.inputs}
        self._committed_versions = committed_versions
        self._num_partitions = max(len(refs) for refs in self._inputs.values()) if self._inputs else 0
        self._cross_partition_tables: dict[str, dict[str, pa.Table]] = {}
        self._lock = threading.Lock()
        self.versions: dict[str, dict[str, int]] = {}

    def versions_of(self, output: ManifestRef) -> dict[str, dict[str, int]]:
        """Those of `versions` that one output is made from."""
        if output.partition == ALL:
            return {asset: dict(numbers) for asset, numbers in self.versions.items()}
        names = (output.partition, ALL)
        return {
            asset: {name: numbers[name] for name in names if name in numbers}
            for asset, numbers in list(self.versions.items())
        }

    def tables_for(self, output: ManifestRef) -> dict[str, pa.Table]:
        """The input tables of one output, by asset."""
        return {asset: self._table(refs, output) for asset, refs in self._inputs.items()}

    def _table(self, refs: list[ManifestRef], output: ManifestRef) -> pa.Table:
        if output.partition == ALL:
            return self._rows_of_all(refs)
        for ref in refs:
            if ref.partition == output.partition:
                return self._kept_rows(ref)
        for ref in refs:
            if ref.partition == ALL:
                return self._rows_of_one(ref, output.partition)
        raise ManifestError(
            f"{output.asset} of partition {output.partition!r} requires an input of that partition, got {refs}."
        )

    def _rows_of_all(self, refs: Sequence[ManifestRef]) -> pa.Table:
        """The rows of all partitions of an asset; of many, what was read before comes from where it is collected."""
        asset, columns = refs[0].asset, self._columns[asset_of(refs[0].asset)]
        if columns is None or len(refs) < MIN_COLLECTED:
            return pa.concat_tables([self._kept_rows(ref) for ref in refs])
        wanted = {ref.partition: self._committed_versions.get((asset, ref.partition)) for ref in refs}
        names = in_schema(asset, columns)
        table, numbers = read_kept_rows(Storage(refs[0].root), asset, wanted, names, may_write=self._may_write)
        self.versions.setdefault(asset, {}).update(numbers)
        return table.select([name for name in columns if name in table.column_names])

    def _rows_of_one(self, ref: ManifestRef, partition: str) -> pa.Table:
        """The rows of one partition in a table that spans all: read alone for few partitions, for many once for all."""
        if self._num_partitions <= MAX_READ_ALONE:
            return self._kept_rows(ref, partition)
        with self._lock:  # one thread reads the table, the others wait for it
            if ref.asset not in self._cross_partition_tables:
                self._cross_partition_tables[ref.asset] = _by_partition(self._kept_rows(ref))
            tables = self._cross_partition_tables[ref.asset]
        return tables[partition] if partition in tables else tables[""]

    def _kept_rows(self, ref: ManifestRef, partition: str | None = None) -> pa.Table:
        """The rows of a table; of one partition in it, where one is given."""
        storage = Storage(ref.root)
        number = self._committed_versions.get((ref.asset, ref.partition))
        commit = load_commit(storage, ref, number) if number else last_commit(storage, ref)
        if commit is None:
            raise ManifestError(
                f"Nothing is committed for {ref.asset} of partition {ref.partition!r} under {storage.root}. "
                "Materialize it first."
            )
        self.versions.setdefault(ref.asset, {})[ref.partition] = commit.number
        columns = self._columns[asset_of(ref.asset)]
        wanted = columns and [*in_schema(ref.asset, columns), "status"]
        table = read_commit(storage, ref, commit, wanted, partition)
        return with_commit(table.filter(pc.field("status") == "kept"), columns, commit.number)


def refs_read(params: Params, asset: str, refs: Iterable[ManifestRef]) -> list[ManifestRef]:
    """The tables that a phase reads of an input asset: where its parameters name a further one, that one."""
    return [replace(ref, asset=params.table_read(asset)) for ref in refs]


def _by_partition(table: pa.Table) -> dict[str, pa.Table]:
    """The rows by partition, in their order; under "" none."""
    ordered = table.sort_by("partition")
    slices, start = {"": table.slice(0, 0)}, 0
    for entry in ordered["partition"].value_counts().to_pylist():
        slices[entry["values"]] = ordered.slice(start, entry["counts"])
        start += entry["counts"]
    return slices


def in_schema(asset: str, columns: Iterable[str]) -> list[str]:
    """Those of the columns that the asset's table has."""
    return [name for name in columns if name in layout_of(asset).schema.names]


def with_commit(table: pa.Table, columns: Collection[str] | None, number: int | None) -> pa.Table:
    """The table with the number of its commit in each row, where the columns name it."""
    if COMMIT_COLUMN not in (columns or ()):
        return table
    return table.append_column(COMMIT_COLUMN, pa.repeat(pa.scalar(number, pa.int64()), len(table)))
