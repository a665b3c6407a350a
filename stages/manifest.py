"""Tables between phases: row files that are whole or absent, and commits that say which rows count.

    {root}/manifests/{asset}/{partition}/rows-*.parquet     rows of some items, each item whole in one file
    {root}/manifests/{asset}/{partition}/_commits/{n}.json  the table: files, and the items taken from each

A commit is created exclusively, and the highest number is the table. Row files that no commit names (a run was
killed, or went back to earlier parameters) stay useful: their footers list the items inside, and the next run takes
over those whose keys it wants.
"""

import hashlib
import io
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError, Reason
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Row

FLUSH_ITEMS = 64
FLUSH_SECONDS = 5.0
"""A row file is written after so many items or seconds, so that this is the most that a kill can cost."""

ALL = "all"
"""The one partition of an asset that looks across partitions."""


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """Which table: an asset's, of one partition, under a root."""

    root: str
    asset: str
    partition: str

    @property
    def folder(self) -> str:
        """Where its files lie, below the root."""
        return f"manifests/{self.asset}/{self.partition}"


@dataclass(frozen=True, slots=True)
class ItemKey:
    """Names one item's rows: what the work read, and what was decided from it.

    Attributes:
        row_key: hash of code version, work parameters, input columns and model.
        decision_key: hash of the decision parameters.
    """

    row_key: str
    decision_key: str


@dataclass(frozen=True)
class CommittedFile:
    """One row file of a table.

    Attributes:
        path: below the root.
        sha256: of its bytes.
        decision_key: of all its rows.
        items: row keys of the items taken from it.
        transient: those of them whose failure may pass, so that the next run tries them again.
    """

    path: str
    sha256: str
    decision_key: str
    items: list[str]
    transient: list[str] = field(default_factory=lambda: [])


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Attributes:
        number: versions count from 1.
        digest: equal where two versions hold the same items with the same fates; Dagster's data version.
        files: where the rows lie.
        counts: rows by status.
        reasons: rows that are not kept, by reason.
        lineage: run id, code version, parameters, package versions, inputs.
    """

    number: int
    digest: str
    files: list[CommittedFile]
    counts: dict[str, int]
    reasons: dict[str, int]
    lineage: dict[str, Any]


def read_manifest(root: str, asset: str, partition: str | None = None, columns: list[str] | None = None) -> pa.Table:
    """The committed rows of an asset, of one partition or of all, in the order of its schema's ``sort_by``.

    Raises:
        ManifestError: no such asset, or nothing is committed for it, or a committed file is missing.
    """
    if asset not in ASSETS:
        raise ManifestError(f"Asset must be one of {list(ASSETS)}, got {asset!r}.")
    storage = Storage(root)
    partitions = [partition] if partition is not None else committed_partitions(storage, asset)
    refs = [ManifestRef(storage.root, asset, name) for name in partitions]
    tables = [read_commit(storage, ref, commit, columns) for ref in refs if (commit := last_commit(storage, ref))]
    if not tables:
        where = f"partition {partition!r} of " if partition is not None else ""
        raise ManifestError(
            f"Nothing is committed for {where}{asset} under {storage.root}. Run the phase that makes it first."
        )
    return pa.concat_tables(tables)


def committed_partitions(storage: Storage, asset: str) -> list[str]:
    """Partitions of an asset that have a commit, sorted by name."""
    start = f"manifests/{asset}/"
    names = {
        info.path.removeprefix(start).split("/")[0]
        for info in storage.list(start.rstrip("/"))
        if "/_commits/" in info.path
    }
    return sorted(names)


def last_commit(storage: Storage, ref: ManifestRef) -> Commit | None:
    """The version that readers see; None before the first."""
    numbers = [
        int(name.removesuffix(".json"))
        for info in storage.list(f"{ref.folder}/_commits")
        if (name := info.path.rsplit("/", 1)[-1]).endswith(".json")
    ]
    return _load_commit(storage, ref, max(numbers)) if numbers else None


def _load_commit(storage: Storage, ref: ManifestRef, number: int) -> Commit:
    path = f"{ref.folder}/_commits/{number}.json"
    try:
        data = json.loads(storage.read_bytes(path))
        data["files"] = [CommittedFile(**entry) for entry in data["files"]]
        return Commit(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise ManifestError(f"Commit {storage.location(path)} cannot be read: {error}.") from error


def read_commit(storage: Storage, ref: ManifestRef, commit: Commit, columns: list[str] | None = None) -> pa.Table:
    """The rows of one version of a table.

    Raises:
        ManifestError: a file that the commit names is missing.
    """
    layout = ASSETS[ref.asset]
    wanted = layout.schema.names if columns is None else columns
    read = [name for name in layout.schema.names if name in {*wanted, *layout.sort_by, "row_key"}]
    tables = [_read_rows(storage, ref.asset, entry, read) for entry in commit.files]
    table = pa.concat_tables(tables) if tables else layout.schema.empty_table().select(read)
    return table.sort_by([(name, "ascending") for name in layout.sort_by]).select(wanted)


def _read_rows(storage: Storage, asset: str, entry: CommittedFile, columns: list[str] | None = None) -> pa.Table:
    schema = ASSETS[asset].schema
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    try:
        with storage.open(entry.path) as handle:
            file = pq.ParquetFile(handle)
            present = [name for name in wanted.names if name in file.schema_arrow.names]
            table = file.read(present)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{storage.location(entry.path)} is named by a commit and missing. "
            "Delete that commit to have its rows computed again."
        ) from error
    for column in wanted:
        if column.name not in present:  # the file was written before the column existed
            table = table.append_column(column, pa.nulls(len(table), column.type))
    table = table.select(wanted.names).cast(wanted)
    return table.filter(pc.field("row_key").isin(entry.items))


@dataclass
class StoredItems:
    """Which items of a table have rows in a file already, committed or not.

    Attributes:
        decided: by (row_key, decision_key): the file with exactly these rows.
        worked: by row_key alone: a file whose rows were computed equally and decided otherwise.
    """

    decided: dict[ItemKey, CommittedFile]
    worked: dict[str, CommittedFile]


def stored_items(storage: Storage, ref: ManifestRef) -> StoredItems:
    """Find every reusable item of a table by the footers of its row files.

    Items whose failure may pass are left out: they are to be tried again.
    """
    found = StoredItems({}, {})
    for info in storage.list(ref.folder):
        if info.path.endswith(".parquet"):
            _note_items(found, _footer_entry(storage, info.path))
    return found


def _note_items(found: StoredItems, entry: CommittedFile) -> None:
    passing = set(entry.transient)
    for row_key in entry.items:
        if row_key not in passing:
            found.decided.setdefault(ItemKey(row_key, entry.decision_key), entry)
            found.worked.setdefault(row_key, entry)


def _footer(storage: Storage, path: str) -> dict[str, Any]:
    with storage.open(path) as handle:
        metadata = pq.read_metadata(handle).metadata or {}
    return json.loads(metadata[b"curator"])


def _footer_entry(storage: Storage, path: str) -> CommittedFile:
    footer = _footer(storage, path)
    return CommittedFile(path, "", footer["decision_key"], list(footer["items"]), list(footer["transient"]))


def read_item(storage: Storage, ref: ManifestRef, entry: CommittedFile, row_keys: Iterable[str]) -> list[Row]:
    """The stored rows of some items of one row file."""
    wanted = CommittedFile(entry.path, entry.sha256, entry.decision_key, list(row_keys))
    return _read_rows(storage, ref.asset, wanted).to_pylist()


class RowWriter:
    """Collects the rows of finished items and writes them as row files, an item always whole in one.

    Args:
        storage: where.
        ref: which table.
        decision_key: of all rows that it is given.
        lineage: goes into each file's footer.
    """

    def __init__(self, storage: Storage, ref: ManifestRef, *, decision_key: str, lineage: Mapping[str, Any]) -> None:
        self._storage = storage
        self._ref = ref
        self._decision_key = decision_key
        self._lineage = dict(lineage)
        self._run = uuid.uuid4().hex[:12]
        self._tables: list[pa.Table] = []
        self._items: list[str] = []
        self._transient: list[str] = []
        self._first_at = 0.0
        self.files: list[CommittedFile] = []

    def append(self, row_key: str, rows: list[Row] | pa.Table) -> None:
        """Take the whole rows of one item; may write a file."""
        schema = ASSETS[self._ref.asset].schema
        table = pa.Table.from_pylist(rows, schema=schema) if isinstance(rows, list) else rows
        if not len(table):
            raise ManifestError(f"Item {row_key} of {self._ref.asset} must have at least one row, got none.")
        if not self._items:
            self._first_at = time.monotonic()
        self._tables.append(table.select(schema.names).cast(schema))
        self._items.append(row_key)
        if is_transient(table):
            self._transient.append(row_key)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write what waits once there is enough of it or it has waited long enough."""
        if self._items and (len(self._items) >= FLUSH_ITEMS or time.monotonic() - self._first_at >= FLUSH_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write what waits as one row file."""
        if not self._items:
            return
        footer = {
            "decision_key": self._decision_key,
            "items": self._items,
            "transient": self._transient,
            "lineage": self._lineage,
        }
        table = pa.concat_tables(self._tables).replace_schema_metadata({"curator": json.dumps(footer)})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        data = buffer.getvalue()
        path = f"{self._ref.folder}/rows-{self._run}-{len(self.files):05d}.parquet"
        self._storage.write_bytes(path, data)
        self.files.append(
            CommittedFile(
                path,
                hashlib.sha256(data).hexdigest(),
                self._decision_key,
                self._items,
                self._transient,
            )
        )
        self._tables, self._items, self._transient = [], [], []


def is_transient(table: pa.Table) -> bool:
    """True where some row failed for a reason that may pass."""
    passing = [reason.value for reason in Reason if reason.is_transient]
    return bool(len(table.filter((pc.field("status") == "failed") & pc.field("reason").isin(passing))))


def commit_table(storage: Storage, ref: ManifestRef, files: list[CommittedFile], lineage: Mapping[str, Any]) -> Commit:
    """Make these files the table, unless the newest version holds exactly their items already.

    The loser of a race against an equal table takes the winner's version; against another it commits its own
    whole table as the next one.
    """
    files = [_with_hash(storage, entry) for entry in files if entry.items]
    digest = table_digest(files)
    table = read_commit(storage, ref, Commit(0, digest, files, {}, {}, {}), ["status", "reason"])
    counts, reasons = count_rows(table)
    while True:
        newest = last_commit(storage, ref)
        if newest and newest.digest == digest:
            return newest
        number = newest.number + 1 if newest else 1
        commit = Commit(number, digest, files, counts, reasons, dict(lineage))
        data = json.dumps(asdict(commit), indent=1, ensure_ascii=False).encode()
        if storage.create_bytes(f"{ref.folder}/_commits/{number}.json", data):
            return commit


def table_digest(files: Iterable[CommittedFile]) -> str:
    """Hash of the items of a table and of which of them failed in passing; not of the files they lie in."""
    lines = sorted(
        f"{row_key} {entry.decision_key} {row_key in set(entry.transient)}"
        for entry in files
        for row_key in entry.items
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def count_rows(table: pa.Table) -> tuple[dict[str, int], dict[str, int]]:
    """Rows by status, and rows that are not kept by reason; reasons sorted by count, largest first."""
    counts = {status: 0 for status in ("kept", "rejected", "failed")}
    for entry in table["status"].value_counts().to_pylist():
        counts[entry["values"]] = entry["counts"]
    lost = table.filter(pc.field("status") != "kept")["reason"].value_counts().to_pylist()
    ordered = sorted(lost, key=lambda entry: (-entry["counts"], str(entry["values"])))
    return counts, {str(entry["values"]): entry["counts"] for entry in ordered}


def _with_hash(storage: Storage, entry: CommittedFile) -> CommittedFile:
    if entry.sha256:
        return entry
    sha256 = hashlib.sha256(storage.read_bytes(entry.path)).hexdigest()
    return CommittedFile(entry.path, sha256, entry.decision_key, entry.items, entry.transient)


def lineage_of(root: str, clip_id: str) -> list[dict[str, Any]]:
    """How a clip came to be: for each asset its rows, and the footer of the file that holds them.

    Raises:
        ManifestError: no asset has a row of this clip.
    """
    storage = Storage(root)
    steps: list[dict[str, Any]] = []
    video_id: str | None = None
    for asset in reversed(ASSETS):
        column = "clip_id" if "clip_id" in ASSETS[asset].schema.names else "video_id"
        wanted = clip_id if column == "clip_id" else video_id
        if wanted is None:
            continue
        for step in _find_rows(storage, asset, column, wanted):
            video_id = step["rows"][0]["video_id"]
            steps.append(step)
    if not steps:
        raise ManifestError(f"No asset under {storage.root} has a row of clip {clip_id!r}.")
    return steps[::-1]


def _find_rows(storage: Storage, asset: str, column: str, wanted: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for partition in committed_partitions(storage, asset):
        commit = last_commit(storage, ManifestRef(storage.root, asset, partition))
        for entry in commit.files if commit else []:
            table = _read_rows(storage, asset, entry)
            rows = table.filter(pc.field(column) == wanted).to_pylist()
            if rows:
                footer = _footer(storage, entry.path)
                steps.append({"asset": asset, "file": entry.path, "rows": rows, "made_by": footer["lineage"]})
    return steps
