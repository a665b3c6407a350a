"""What a check is handed, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from curator_dagster.checks.history import ScoreHistory
from stages.errors import ManifestError
from stages.manifest import Commit, ManifestRef, load_commit, read_commit_rows
from stages.params import CheckParams
from stages.run import PhaseReport
from stages.storage import Storage

Figure = str | int | float
Record = Mapping[str, Figure]


@dataclass(frozen=True)
class Subject:
    """One version of one table.

    Attributes:
        report: what the phase did to it.
        storage: the root's.
        params: thresholds.
        history: scores of the partitions before.
    """

    report: PhaseReport
    storage: Storage
    params: CheckParams
    history: ScoreHistory

    @property
    def ref(self) -> ManifestRef:
        """Which table."""
        return ManifestRef(self.storage.root, self.report.asset, self.report.partition)

    @cached_property
    def commit(self) -> Commit:
        """The version that the report is of.

        Raises:
            ManifestError: it is gone.
        """
        try:
            return load_commit(self.storage, self.ref, self.report.commit)
        except FileNotFoundError as error:
            raise ManifestError(
                f"Commit {self.report.commit} of {self.ref.folder} must be there, and is gone."
            ) from error

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Its rows."""
        return read_commit_rows(self.storage, self.ref, self.commit, columns)


@dataclass(frozen=True)
class Verdict:
    """What a check found in one partition.

    Attributes:
        passed: nothing to complain of.
        told: what was found, in a sentence; where it failed also what to do.
        figures: the numbers behind it.
        details: further numbers, as a table.
        excess: how far it is beyond what is allowed, 0 or less where it is not; of several failed ones the largest
            is the worst.
        is_known: it could be evaluated.
    """

    passed: bool
    told: str
    figures: Record = field(default_factory=lambda: {})
    details: Sequence[Record] = ()
    excess: float = 0.0
    is_known: bool = True
