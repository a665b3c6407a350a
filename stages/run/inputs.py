"""The input tables of a phase."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.manifest import ALL, ManifestRef, last_commit, load_commit, read_commit
from stages.phase import COMMIT_COLUMN, Phase
from stages.schemas import ASSETS
from stages.storage import Storage

Inputs = Mapping[str, list[ManifestRef]]


class InputTables:
    """The kept rows of a phase's input tables; a table that spans all partitions is read once.

    Args:
        phase: the phase that reads the inputs.
        inputs: tables by asset.
        committed_versions: numbers of the commits that this run made, by asset and partition. These are read even if
            another run has committed since; of all other tables the newest commit is read.

    Attributes:
        versions: numbers of the commits that were read, by asset and partition.
    """

    def __init__(
        self,
        phase: Phase[Any],
        inputs: Inputs,
        committed_versions: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        missing = [asset for asset in phase.inputs if asset not in inputs]
        if missing:
            raise ManifestError(f"Phase {phase.params.phase} requires inputs {missing}, got {list(inputs)}.")
        self._inputs = {asset: inputs[asset] for asset in phase.inputs}
        self._columns = {asset: phase.columns_of(asset) for asset in phase.inputs}
        self._committed_versions = committed_versions
        self._cross_partition_tables: dict[str, pa.Table] = {}
        self.versions: dict[str, dict[str, int]] = {}

    def tables_for(self, output: ManifestRef) -> dict[str, pa.Table]:
        """The input tables of one output, by asset."""
        return {asset: self._table(refs, output) for asset, refs in self._inputs.items()}

    def _table(self, refs: list[ManifestRef], output: ManifestRef) -> pa.Table:
        if output.partition == ALL:
            return pa.concat_tables([self._kept_rows(ref) for ref in refs])
        for ref in refs:
            if ref.partition == output.partition:
                return self._kept_rows(ref)
        for ref in refs:
            if ref.partition == ALL:
                if ref.asset not in self._cross_partition_tables:
                    self._cross_partition_tables[ref.asset] = self._kept_rows(ref)
                table = self._cross_partition_tables[ref.asset]
                return table.filter(pc.field("partition") == output.partition)
        raise ManifestError(
            f"{output.asset} of partition {output.partition!r} requires an input of that partition, got {refs}."
        )

    def _kept_rows(self, ref: ManifestRef) -> pa.Table:
        storage = Storage(ref.root)
        number = self._committed_versions.get((ref.asset, ref.partition))
        commit = load_commit(storage, ref, number) if number else last_commit(storage, ref)
        if commit is None:
            raise ManifestError(
                f"Nothing is committed for {ref.asset} of partition {ref.partition!r} under {storage.root}. "
                "Materialize it first."
            )
        self.versions.setdefault(ref.asset, {})[ref.partition] = commit.number
        columns = self._columns[ref.asset]
        table = read_commit(storage, ref, commit, columns and [*in_schema(ref.asset, columns), "status"])
        return with_commit(table.filter(pc.field("status") == "kept"), columns, commit.number)


def in_schema(asset: str, columns: Iterable[str]) -> list[str]:
    """Those of the columns that the asset's table has."""
    return [name for name in columns if name in ASSETS[asset].schema.names]


def with_commit(table: pa.Table, columns: Collection[str] | None, number: int | None) -> pa.Table:
    """The table with the number of its commit in each row, where the columns name it."""
    if COMMIT_COLUMN not in (columns or ()):
        return table
    return table.append_column(COMMIT_COLUMN, pa.repeat(pa.scalar(number, pa.int64()), len(table)))
