"""Row files: the rows of some items, each item whole in one file, and a footer that lists what is inside.

A file is written whole or not at all, at the latest `FLUSH_ITEMS` items or `FLUSH_SECONDS` after the first row in it.
"""

import hashlib
import io
import json
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.schemas import ASSETS
from stages.storage import FileInfo, Storage
from stages.tasks import Row

logger = logging.getLogger(__name__)

FLUSH_ITEMS = 64
FLUSH_SECONDS = 5.0
"""A row file is written after so many items or seconds, so that this is the most that a kill can cost."""

READERS = 8
"""Row files that are read at once: on an object store each costs a round trip."""
SMALL_BYTES = 4 << 20
"""A row file of up to this size is read whole by one request, a larger one by ranges."""

K = TypeVar("K", str, "ItemKey")
T = TypeVar("T")
R = TypeVar("R")

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
        transient: those of them that were turned down only for now, so that the next run tries them again.
        failed: reasons of the failed rows of those of them that have some.
        size_bytes: of the file; tells a truncated one.
        num_items: that the file holds, taken or not; 0 where that is not known.
    """

    path: str
    sha256: str
    decision_key: str
    items: list[str]
    transient: list[str] = field(default_factory=lambda: [])
    failed: dict[str, list[str]] = field(default_factory=lambda: {})
    size_bytes: int = 0
    num_items: int = 0


def read_at_once(read: Callable[[T], R], files: Sequence[T]) -> list[R]:
    """What `read` returns for each file, in their order; `READERS` at a time."""
    with ThreadPoolExecutor(READERS, "row-files") as pool:
        return list(pool.map(read, files))


@contextmanager
def _opened(storage: Storage, path: str, size_bytes: int) -> Iterator[Any]:
    """A row file as Arrow reads it; `size_bytes` 0 where it is not known."""
    if 0 < size_bytes <= SMALL_BYTES:
        yield pa.BufferReader(storage.read_bytes(path))
    else:
        with storage.open(path) as handle:
            yield handle


def read_rows(storage: Storage, asset: str, entry: CommittedFile, columns: list[str] | None = None) -> pa.Table:
    """The rows of the items that are taken from one file; columns that it lacks are null.

    Raises:
        ManifestError: the file is missing or damaged.
    """
    schema = ASSETS[asset].schema
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    try:
        with _opened(storage, entry.path, entry.size_bytes) as handle:
            file = pq.ParquetFile(handle)
            present = [name for name in wanted.names if name in file.schema_arrow.names]
            table = file.read(present, use_threads=False)  # files are read at once, not columns
    except FileNotFoundError as error:
        raise ManifestError(
            f"{storage.location(entry.path)} is named by a commit and missing. "
            "Run the phase again: what the file held is computed again."
        ) from error
    except pa.ArrowException as error:
        raise ManifestError(
            f"{storage.location(entry.path)} is damaged: {error}. Delete it and run the phase again."
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


def stored_items(
    storage: Storage, ref: ManifestRef, again: Collection[str] = (), *, committed: Iterable[CommittedFile] = ()
) -> StoredItems:
    """Find every reusable item of a table by the footers of its row files.

    Items that failed for a reason in `again` are left out: they are to be tried again. Where one file holds an item's
    failure and another its rows, the rows count, whatever was first.

    Args:
        storage: where.
        ref: which table.
        again: reasons.
        committed: files of a version; the footer of one that is taken from whole, and as long as then, is not read.
    """
    known = {(entry.path, entry.size_bytes): entry for entry in committed if len(entry.items) == entry.num_items}
    files = [info for info in storage.list(ref.folder) if info.path.endswith(".parquet")]
    unknown = [info for info in files if (info.path, info.size_bytes) not in known]
    read = dict(zip(unknown, read_at_once(lambda info: _footer_entry(storage, info), unknown), strict=True))
    found = StoredItems({}, {})
    for info in files:
        entry = known.get((info.path, info.size_bytes)) or read[info]
        if entry is not None:
            _note_items(found, entry, again)
    return found


def _note_items(found: StoredItems, entry: CommittedFile, again: Collection[str]) -> None:
    passing = set(entry.transient)
    for row_key in entry.items:
        reasons = entry.failed.get(row_key, [])
        if row_key in passing or any(reason in again for reason in reasons):
            continue
        if reasons:
            found.decided.setdefault(ItemKey(row_key, entry.decision_key), entry)
            found.worked.setdefault(row_key, entry)
        else:
            _prefer(found.decided, ItemKey(row_key, entry.decision_key), row_key, entry)
            _prefer(found.worked, row_key, row_key, entry)


def _prefer(table: dict[K, CommittedFile], key: K, row_key: str, entry: CommittedFile) -> None:
    """Take the first file in which the item did not fail."""
    if key not in table or row_key in table[key].failed:
        table[key] = entry


def read_footer(storage: Storage, path: str) -> dict[str, Any]:
    """What a row file says of itself: decision_key, items, transient, failed, lineage."""
    return _footer(storage, path, 0)


def _footer(storage: Storage, path: str, size_bytes: int) -> dict[str, Any]:
    with _opened(storage, path, size_bytes) as handle:
        metadata = pq.read_metadata(handle).metadata or {}
    return json.loads(metadata[b"curator"])


def _footer_entry(storage: Storage, info: FileInfo) -> CommittedFile | None:
    """All items of a file; None where it is damaged."""
    try:
        footer = _footer(storage, info.path, info.size_bytes)
        items, transient, failed = footer["items"], footer["transient"], footer.get("failed", {})
        key, size_bytes = footer["decision_key"], info.size_bytes
        return CommittedFile(info.path, "", key, items, transient, failed, size_bytes, len(items))
    except (pa.ArrowException, KeyError, ValueError) as error:
        logger.warning("Rows of %s are computed again, it cannot be read: %s", info.path, error)
        return None


def read_item(storage: Storage, ref: ManifestRef, entry: CommittedFile, row_keys: Iterable[str]) -> list[Row]:
    """The stored rows of some items of one row file."""
    return read_rows(storage, ref.asset, replace(entry, items=list(row_keys))).to_pylist()


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
        self._failed: dict[str, list[str]] = {}
        self._first_at = 0.0
        self.files: list[CommittedFile] = []

    def append(self, row_key: str, rows: list[Row] | pa.Table, *, is_passing: bool = False) -> None:
        """Take the whole rows of one item; may write a file. The next run tries again what is passing."""
        schema = ASSETS[self._ref.asset].schema
        table = pa.Table.from_pylist(rows, schema=schema) if isinstance(rows, list) else rows
        if not len(table):
            raise ManifestError(f"Item {row_key} of {self._ref.asset} must have at least one row, got none.")
        if not self._items:
            self._first_at = time.monotonic()
        self._tables.append(table if table.schema == schema else table.select(schema.names).cast(schema))
        self._items.append(row_key)
        if is_passing:
            self._transient.append(row_key)
        if reasons := failed_reasons(table):
            self._failed[row_key] = reasons
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
            "failed": self._failed,
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
                self._failed,
                len(data),
                len(self._items),
            )
        )
        self._tables, self._items, self._transient, self._failed = [], [], [], {}


def failed_reasons(table: pa.Table) -> list[str]:
    """Reasons of the failed rows, each once, sorted."""
    fates = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return sorted({str(reason) for status, reason in fates if status == "failed"})
