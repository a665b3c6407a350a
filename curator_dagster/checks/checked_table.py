"""What a check is given: one version of one table."""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from curator_dagster.checks.score_history import ScoreHistory
from stages.errors import ManifestError
from stages.manifest import Commit, ManifestRef, load_commit, read_commit
from stages.params import CheckParams
from stages.run import PhaseReport
from stages.storage import Storage


@dataclass(frozen=True)
class CheckedTable:
    """One version of one table, of one partition.

    Attributes:
        report: what the phase reported of it.
        storage: of the root.
        params: thresholds and severities.
        history: scores of partitions registered before.
    """

    report: PhaseReport
    storage: Storage
    params: CheckParams
    history: ScoreHistory

    @property
    def ref(self) -> ManifestRef:
        """Asset and partition of the table."""
        return ManifestRef(self.storage.root, self.report.asset, self.report.partition)

    @cached_property
    def commit(self) -> Commit:
        """The version that the report describes.

        Raises:
            ManifestError: it no longer exists.
        """
        try:
            return load_commit(self.storage, self.ref, self.report.commit)
        except FileNotFoundError as error:
            raise ManifestError(
                f"Commit {self.report.commit} of {self.ref.folder} must be there, and is gone."
            ) from error

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """The rows; all columns where none are named."""
        return read_commit(self.storage, self.ref, self.commit, columns)
