"""The tables that a phase is made from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.manifest import ALL, ManifestRef, last_commit, load_commit, read_commit
from stages.phase import Phase
from stages.storage import Storage

Inputs = Mapping[str, list[ManifestRef]]


class InputTables:
    """Kept rows of a phase's inputs; a table that spans partitions is read once.

    Args:
        phase: whose inputs.
        inputs: tables by asset.
        made: numbers of the versions that this run itself has committed, by asset and partition: it goes on from
            those, whatever a run with other parameters has committed since. Of other tables the newest is read.

    Attributes:
        versions: numbers of the commits that were read, by asset and partition.
    """

    def __init__(
        self, phase: Phase[Any], inputs: Inputs, made: Mapping[tuple[str, str], int] = MappingProxyType({})
    ) -> None:
        missing = [asset for asset in phase.inputs if asset not in inputs]
        if missing:
            raise ManifestError(f"Phase {phase.params.phase} requires inputs {missing}, got {list(inputs)}.")
        self._inputs = {asset: inputs[asset] for asset in phase.inputs}
        self._columns = phase.input_columns
        self._made = made
        self._spanning: dict[str, pa.Table] = {}
        self.versions: dict[str, dict[str, int]] = {}

    def of(self, output: ManifestRef) -> dict[str, pa.Table]:
        """The tables that one output is made from."""
        return {asset: self._table(refs, output) for asset, refs in self._inputs.items()}

    def _table(self, refs: list[ManifestRef], output: ManifestRef) -> pa.Table:
        if output.partition == ALL:
            return pa.concat_tables([self._kept(ref) for ref in refs])
        for ref in refs:
            if ref.partition == output.partition:
                return self._kept(ref)
        for ref in refs:
            if ref.partition == ALL:
                if ref.asset not in self._spanning:
                    self._spanning[ref.asset] = self._kept(ref)
                table = self._spanning[ref.asset]
                return table.filter(pc.field("partition") == output.partition)
        raise ManifestError(
            f"{output.asset} of partition {output.partition!r} requires an input of that partition, got {refs}."
        )

    def _kept(self, ref: ManifestRef) -> pa.Table:
        storage = Storage(ref.root)
        number = self._made.get((ref.asset, ref.partition))
        commit = load_commit(storage, ref, number) if number else last_commit(storage, ref)
        if commit is None:
            raise ManifestError(
                f"Nothing is committed for {ref.asset} of partition {ref.partition!r} under {storage.root}. "
                "Materialize it first."
            )
        self.versions.setdefault(ref.asset, {})[ref.partition] = commit.number
        columns = self._columns.get(ref.asset)
        table = read_commit(storage, ref, commit, columns and [*columns, "status"])
        return table.filter(pc.field("status") == "kept")
