"""The base class of a phase: a table of items in, a pipeline for each, rows out, decisions from stored scores."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from stages.manifest import CommittedFile, ManifestRef
from stages.params import Params
from stages.pipeline import ItemResult, Pipeline, StageStats
from stages.schemas import ASSETS
from stages.storage import Storage, digest, digests
from stages.table_names import name_of
from stages.tasks import Failed, Rejected, Row, Task, VideoLength

P = TypeVar("P", bound=Params)

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str).encode
"""Made once: `json.dumps` makes an encoder at each call, and each item of each run has a key."""
_encode_lines = json.JSONEncoder(ensure_ascii=True, separators=("\n", ":"), default=str).encode
"""A list of plain values, one a line: JSON has no line feed inside of a value."""


LATER_COLUMNS = frozenset({"speech_share"})
"""Columns that tables did not have at first, and of what is measured only where it is asked for. Where they are null,
keys are what they were without them, so that rows stand."""


@dataclass
class PhaseReport:
    """The result of one phase on one partition.

    Attributes:
        phase: its name.
        asset: its table; ``embeddings.NAME`` for that of a further embedder.
        partition: of the table.
        items: input rows; each appears in the table.
        reused: items whose rows existed already.
        redecided: items that were decided again from stored scores.
        computed: items that were processed.
        changes: descriptions of what changed since the table's last version and rows depend on.
        rows: rows of the table.
        counts: rows by status.
        reasons: rows not kept, by reason.
        missing: rows that items lack; must be 0.
        commit: version of the table.
        data_version: digest of the table's items.
        counters: sums of what the stages counted in the whole run (decoded_frames, rebuilt_frame_stores, ...).
        stages: figures of each stage in the whole run, all partitions together.
        seconds: wall time of the whole run of the phase.
        starting_s: the part of `seconds` before the first item was worked on: starting Ray, starting and setting up
            workers.
        root_version: number of the version of the root that the run published; None where the phase publishes none.
        left_out_nodes: for each node of Ray that got no work for a while in the run, why.
        further: by name, the report of each further table that the phase made of the partition.
        superseded: which version of another run prevailed, and why; empty where the run's own is the newest. Rows,
            counts and commit are those of that version then.
        supersedes: which version another run committed meanwhile that the run's own prevailed over; else empty.
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
    counters: dict[str, float] = field(default_factory=lambda: {})
    stages: dict[str, StageStats] = field(default_factory=lambda: {})
    seconds: float = 0.0
    starting_s: float = 0.0
    root_version: int | None = None
    left_out_nodes: dict[str, str] = field(default_factory=lambda: {})
    further: dict[str, "PhaseReport"] = field(default_factory=lambda: {})
    superseded: str = ""
    supersedes: str = ""

    @property
    def title(self) -> str:
        """The phase, and the name of a further table: "embed", "embed siglip"."""
        return f"{self.phase} {name_of(self.asset)}".rstrip()


@dataclass(frozen=True)
class Preparation:
    """Work on workers whose results a phase needs before it can tell its items.

    Attributes:
        activity: what it is, for the progress.
        pipeline: makes its stages, whose names are no names of the phase's own stages.
        tasks: to be worked on; their ids begin with a partition and "/".
        add_result: takes each result.
        finish: called after the last result, and where the run is interrupted.
        counter: what its stages count as they go, for the progress inside a task; "" for nothing.
        amount: to be counted of all tasks together.
    """

    activity: str
    pipeline: Callable[[], Pipeline]
    tasks: Sequence[Task]
    add_result: Callable[[ItemResult], None]
    finish: Callable[[], None]
    counter: str = ""
    amount: float = 0.0


class Phase(ABC, Generic[P]):
    """A function from input tables to an output table, item by item.

    Attributes:
        inputs: the assets whose kept rows it reads.
        input_columns: by input asset, the columns that the driver reads, see `columns_of`; all columns of an asset
            without an entry.
        key_columns: columns of `items` that the processing depends on; they enter `row_key`.
        longest_first: start with the items of the highest cost, so that none runs alone at the end. Else they keep the
            order of `items`, and clips of one video follow each other.
        frame_counter: the counter of the frames that its stages go through, as they go; "" for none.
        part_counter: the counter of the frames that the parts of an item stand for, where several tasks are made of it;
            the task that they come together in takes them off again. "" for none.
        compared_columns: columns of its table that `compare` reads; empty for a phase whose rows are decided alone.
        decided_columns: columns that `decide_compared` reads; empty for all.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    input_columns: ClassVar[Mapping[str, list[str]]] = {}
    key_columns: ClassVar[tuple[str, ...]] = ()
    longest_first: ClassVar[bool] = False
    frame_counter: ClassVar[str] = ""
    part_counter: ClassVar[str] = ""
    compared_columns: ClassVar[tuple[str, ...]] = ()
    decided_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: P, root: str) -> None:
        self.params = params
        self.root = root

    def preparations(self, outputs: Sequence[ManifestRef]) -> Iterator[Preparation]:
        """What is to be done before `items` is called for these tables, one after another; nothing by default.

        A dry run does none of it. What is known by then must be enough for `items`.
        """
        return iter(())

    @abstractmethod
    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """The items, one row each: the columns that its task needs, and those of its row where it has no result.

        `inputs` holds the kept rows of each input asset, of this partition (of all partitions for ``all``).
        """

    def columns_of(self, asset: str) -> list[str] | None:
        """The columns of an input asset that the driver reads; None for all.

        Beside those of the asset's schema there is `COMMIT_COLUMN`; it is null for rows that are not committed, as in a
        dry run.
        """
        return self.input_columns.get(asset)

    @abstractmethod
    def task(self, item: Row, task_id: str) -> Task:
        """The task of one row of `items`."""

    def cost(self, item: Row) -> float:
        """Expected duration of the item, above 0, in any unit. The remaining time of a run is estimated from it."""
        return 1.0

    def video_length(self, item: Row) -> VideoLength:
        """Length of the item's video, in which progress is told; items are counted where it is zero."""
        return VideoLength()

    def min_rows(self, item: Row) -> int:
        """The smallest number of rows that the item must have, whatever its outcome."""
        return 1

    @abstractmethod
    def pipeline(self) -> Pipeline:
        """The stages that process a task; the pipeline's `collect` turns the last result into rows."""

    def identity(self) -> dict[str, Any]:
        """What the processing depends on beside parameters and columns: the model and the hash of its weights."""
        return {}

    def sources_seen(self, output: ManifestRef) -> int | None:
        """The last entry of the register that concerns the items of a table; None where they come from tables."""
        return None

    def knows_sources(self, entry: int) -> bool:
        """Whether the register has an entry of this number."""
        return False

    def rows_without_work(
        self, output: ManifestRef, files: Collection[CommittedFile], items: Iterable[tuple[str, Row]]
    ) -> Mapping[str, list[Row]]:
        """By row key, the rows of items that follow from rows which the table holds for other keys; none by default.

        They count as redecided. Called once for a table, before `task`.

        Args:
            output: the table.
            files: row files with reusable items, in versions of the table or not.
            items: the items that have no rows, with their row keys.
        """
        return {}

    def decide(self, row: Row) -> Row:
        """Set status and reason from the scores in the row. Called for rows that did not fail."""
        return row

    def compare(self, rows: pa.Table) -> Mapping[str, list[Row]]:
        """By row key, what `decide_compared` is told of the rows of items that are decided beside others; nothing here.

        One dict of plain values for each row of the item, in their order. Must be a function of the rows alone.

        Args:
            rows: ``row_key`` and `compared_columns` of all rows of the table, as `decide` left them.
        """
        return {}

    def decide_compared(self, row: Row, found: Row) -> Row:
        """The row, decided again with what `compare` found of it."""
        return row

    def reusable(self, output: ManifestRef, stored: Mapping[str, CommittedFile]) -> set[str]:
        """The row keys in `stored` whose side products (frame stores, clips) still exist.

        `stored` gives the row file of each item that has rows; these may have been decided by other parameters.
        """
        return set(stored)

    def finish(self, outputs: Sequence[ManifestRef]) -> int | None:
        """Do what follows the commits of a run's tables, once for all of them. Must be idempotent.

        Returns the number of the version of the root that holds these tables; None where the phase publishes none.

        Not called where the run is interrupted; the next run calls it, also where it has nothing to compute.
        """

    def row_key(self, item: Row) -> str:
        """Hash of the code version, the work parameters, the identity and the item's key columns."""
        return digest(self._row_key_base, canonical(key_values(item, self.key_columns)))

    def row_keys(self, items: pa.Table) -> list[str]:
        """`row_key` of each item, in their order. Made column by column, in a fifth of the time."""
        return digests([self._row_key_base], canonical_rows(items, self.key_columns))

    def work_params(self) -> dict[str, Any]:
        """The parameters that enter every `row_key`."""
        return self.params.affecting("work")

    def decision_key(self) -> str:
        """Hash of the code version and the decision parameters."""
        return digest(self.params.phase, self.params.code_version, canonical(self.params.affecting("decision")))

    @cached_property
    def _row_key_base(self) -> str:
        work = canonical(self.work_params())
        return digest(self.params.phase, self.params.code_version, work, canonical(self.identity()))

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """The row of an item that was rejected or failed: the item's own columns, as far as the table has them."""
        names = ASSETS[self.params.asset].schema.names
        row: Row = dict.fromkeys(names)
        row.update((name, value) for name, value in item.items() if name in row)
        if isinstance(outcome, Failed):
            # A message may contain surrogates from a file name that is not UTF-8; a table holds UTF-8.
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


def key_values(item: Row, names: Iterable[str]) -> list[Any]:
    """What the item has in these columns, as it enters keys; a column of `LATER_COLUMNS` only where it is not null."""
    return [item.get(name) for name in names if item.get(name) is not None or name not in LATER_COLUMNS]


def canonical(value: Any) -> str:
    """JSON that is equal for equal values, whatever the order of keys; floats in their shortest form."""
    return _encode(value)


def canonical_rows(table: pa.Table, names: Iterable[str]) -> list[str]:
    """`canonical` of `key_values` of each row, made column by column; a map counts as a dict."""
    columns = [_key_texts(table, name) for name in names]
    if not columns:
        return ["[]"] * len(table)
    if any(None in texts for texts in columns):
        rows = ([text for text in texts if text is not None] for texts in zip(*columns, strict=True))
    else:
        rows = zip(*columns, strict=True)
    return [f"[{','.join(texts)}]" for texts in rows]


def _key_texts(table: pa.Table, name: str) -> Sequence[str | None]:
    """A column as text, as its values enter keys; None where they enter none."""
    if name not in table.column_names:
        return [None if name in LATER_COLUMNS else "null"] * len(table)
    texts = _canonical_values(table[name])
    if name not in LATER_COLUMNS:
        return texts
    return [
        text if is_there else None for text, is_there in zip(texts, table[name].is_valid().to_pylist(), strict=True)
    ]


def _canonical_values(column: pa.ChunkedArray) -> list[str]:
    values = column.to_pylist()
    if pa.types.is_map(column.type):
        return [_encode(dict(value or [])) for value in values]
    if pa.types.is_nested(column.type):
        return [_encode(value) for value in values]
    return _encode_lines(values)[1:-1].split("\n") if values else []
