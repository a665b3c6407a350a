"""What a phase is: a table of items in, a pipeline that works on each, rows out, and decisions from stored scores."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from stages.manifest import CommittedFile, ManifestRef
from stages.params import Params
from stages.pipeline import Pipeline, StageStats
from stages.schemas import ASSETS
from stages.storage import Storage, digest
from stages.tasks import Failed, Rejected, Row, Task

P = TypeVar("P", bound=Params)


@dataclass
class PhaseReport:
    """What one phase did to one partition.

    Attributes:
        phase: its name.
        asset: the table it made.
        partition: which part of it.
        items: input rows; each appears in the table.
        reused: items whose rows were there already.
        redecided: items whose stored scores were decided anew.
        computed: items that were worked on.
        changes: what undid rows since the table's last version, in words.
        rows: rows of the table.
        counts: rows by status.
        reasons: rows not kept, by reason.
        missing: rows that items should have and have not; must be 0.
        commit: version of the table.
        data_version: digest of the table's items.
        notes: what the stages counted in the whole run (decoded_frames, rebuilt_frame_stores, ...).
        stages: what each stage did in the whole run, all partitions together.
        seconds: wall time of the whole run of the phase.
    """

    phase: str
    asset: str
    partition: str
    items: int = 0
    reused: int = 0
    redecided: int = 0
    computed: int = 0
    changes: list[str] = field(default_factory=lambda: [])
    rows: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {})
    reasons: dict[str, int] = field(default_factory=lambda: {})
    missing: int = 0
    commit: int = 0
    data_version: str = ""
    notes: dict[str, float] = field(default_factory=lambda: {})
    stages: dict[str, StageStats] = field(default_factory=lambda: {})
    seconds: float = 0.0


class Phase(ABC, Generic[P]):
    """A function from tables to the next table, item by item.

    Attributes:
        inputs: the assets whose kept rows it reads.
        input_columns: of an input, the columns to read in the driver; all where the asset is not named.
        key_columns: columns of `items` that the work reads; they enter `row_key`.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    input_columns: ClassVar[Mapping[str, list[str]]] = {}
    key_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: P, root: str) -> None:
        self.params = params
        self.root = root

    @abstractmethod
    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One row an item: what its task needs, and what a row of an item without result must say.

        `inputs` holds the kept rows of each asset in `inputs`, of this partition (of all for ``all``).
        """

    @abstractmethod
    def task(self, item: Row, task_id: str) -> Task:
        """The task of one row of `items`."""

    def cost(self, item: Row) -> float:
        """How long the item takes, above 0, in any unit; the longest begin first, so that none is left at the end.

        Equal costs keep the order of `items`.
        """
        return 1.0

    def least_rows(self, item: Row) -> int:
        """How many rows the item must have at least, whatever became of it."""
        return 1

    @abstractmethod
    def pipeline(self) -> Pipeline:
        """The stages that work on a task; their last result becomes rows by the pipeline's `collect`."""

    def identity(self) -> dict[str, Any]:
        """What beside parameters and columns the work depends on: the model and the hash of its weights."""
        return {}

    def decide(self, row: Row) -> Row:
        """Take status and reason again from what the row holds. Called for rows that did not fail."""
        return row

    def reusable(self, output: ManifestRef, stored: Mapping[str, CommittedFile]) -> set[str]:
        """Of the row keys that have rows, those whose side products are still there.

        `stored` names the file whose rows of an item count; they may have been decided otherwise.
        """
        return set(stored)

    def finish(self, output: ManifestRef) -> None:
        """Write what hangs on the whole table, after its commit. Must be repeatable."""

    def row_key(self, item: Row) -> str:
        """Hash of the code version, the work parameters, the identity and the item's key columns."""
        return digest(self._base, _canonical([item.get(name) for name in self.key_columns]))

    def decision_key(self) -> str:
        """Hash of the code version and the decision parameters."""
        return digest(self.params.phase, self.params.code_version, _canonical(self.params.affecting("decision")))

    @cached_property
    def _base(self) -> str:
        work = _canonical(self.params.affecting("work"))
        return digest(self.params.phase, self.params.code_version, work, _canonical(self.identity()))

    def lost_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """The one row of an item without result: the item's own columns, as far as the table has them."""
        names = ASSETS[self.params.asset].schema.names
        row: Row = dict.fromkeys(names)
        row.update((name, value) for name, value in item.items() if name in row)
        if isinstance(outcome, Failed):
            # A message may carry bytes of a file's name that are no text; a table holds text.
            row.update(
                status="failed", reason=str(outcome.reason), error=outcome.error.encode(errors="replace").decode()
            )
        else:
            row.update(outcome.columns)
            row.update(status="rejected", reason=str(outcome.reason), error=outcome.detail or None)
        return row

    def storage(self) -> Storage:
        """The root's storage."""
        return Storage(self.root)


def _canonical(value: Any) -> str:
    """JSON that is equal for equal values, whatever the order of keys; floats by their shortest form."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
