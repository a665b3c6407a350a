"""Reading row files: Parquet files that hold all rows of some items, with a footer that lists these items."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest.projected_reading import can_project, in_schema, read_projected
from stages.manifest.tables import layout_of
from stages.storage import Storage
from stages.tasks import Row

ALL = "all"
"""Partition key of a table that spans all partitions."""

DAMAGED_FILE_ERRORS = (pa.ArrowException, OSError, KeyError, ValueError)
"""Errors that Arrow and JSON raise where bytes are no Parquet file; Arrow raises OSError for bytes in memory too."""


@dataclass(frozen=True, slots=True)
class ManifestRef:
    """Identifies the table of one asset and one partition under a root.

    Attributes:
        root: of the tables.
        asset: whose table it is; ``embeddings.NAME`` for that of a further embedder, see `stages.manifest.tables`.
        partition: its key.
    """

    root: str
    asset: str
    partition: str

    @property
    def folder(self) -> str:
        """Folder of the table's files, below the root."""
        return f"manifests/{self.asset}/{self.partition}"


@dataclass(frozen=True)
class CommittedFile:
    """One row file of a table.

    Attributes:
        path: below the root.
        sha256: of its bytes.
        decision_key: of all its rows.
        items: row keys of the file's items that belong to the table.
        transient: row keys of `items` that were rejected for a transient reason; the next run computes them again.
        failed: for each item with failed rows, the reason of each row in order; empty text for a row that did not fail.
        size_bytes: of the file; reveals a truncated one.
        num_items: items in the file, whether they belong to the table or not; 0 where unknown.
        footer_sha256: of the file's Parquet footer; empty in commits from before columns were read by themselves.
    """

    path: str
    sha256: str
    decision_key: str
    items: list[str]
    transient: list[str] = field(default_factory=lambda: [])
    failed: dict[str, list[str]] = field(default_factory=lambda: {})
    size_bytes: int = 0
    num_items: int = 0
    footer_sha256: str = ""

    def failure_reasons(self, row_key: str) -> set[str]:
        """Distinct reasons of an item's failed rows; empty where none failed."""
        return {reason for reason in self.failed.get(row_key, ()) if reason}


def read_row_file(
    storage: Storage,
    asset: str,
    entry: CommittedFile,
    columns: list[str] | None = None,
    partition: str | None = None,
) -> pa.Table:
    """Read the rows of `entry.items` from one row file; columns that the file lacks are null.

    Only the columns that are asked for are read, where the entry has a hash of the footer. Else all bytes are, and
    compared with the entry's SHA-256, where it has one: Parquet's checksums cover pages, and not the footer. With one
    damaged letter there, a column would go by another name and be read as null.

    Args:
        storage: of the root.
        asset: of the table.
        entry: the file and its items.
        columns: their names; all where None.
        partition: the only one of which rows are returned; all where None.

    Raises:
        ManifestError: the file is missing or damaged.
    """
    schema = layout_of(asset).schema
    names = columns or schema.names
    if columns and entry.footer_sha256 and can_project(storage, entry.size_bytes):
        return _read_projected(storage, asset, entry, names, partition)
    read = list(dict.fromkeys([*names, "row_key", *(["partition"] if partition is not None else [])]))
    requested = pa.schema([schema.field(name) for name in read])
    data = _read_file(storage, entry.path)
    if entry.sha256 and hashlib.sha256(data).hexdigest() != entry.sha256:
        raise _damaged_file_error(storage, entry.path, "its SHA-256 is not the committed one")
    try:
        rows = read_columns(data, requested)
        if len(entry.items) != entry.num_items:  # else all of its rows belong to the table
            rows = rows.filter(pc.field("row_key").isin(entry.items))
    except DAMAGED_FILE_ERRORS as error:
        raise _damaged_file_error(storage, entry.path, error) from error
    if partition is not None:
        rows = rows.filter(pc.field("partition") == partition)
    return rows.select(names)


def _read_projected(
    storage: Storage, asset: str, entry: CommittedFile, names: list[str], partition: str | None
) -> pa.Table:
    """Some columns, and of the file's rows those of the entry's items."""
    schema = layout_of(asset).schema
    read = list(names)
    if is_part := len(entry.items) != entry.num_items:
        read.append("row_key")
    if partition is not None:
        read.append("partition")
    requested = pa.schema([schema.field(name) for name in dict.fromkeys(read)])
    try:
        rows = read_projected(storage, entry.path, entry.footer_sha256, requested, partition)
    except FileNotFoundError as error:
        raise _missing_file_error(storage, entry.path) from error
    except DAMAGED_FILE_ERRORS as error:
        raise _damaged_file_error(storage, entry.path, error) from error
    if is_part:
        rows = rows.filter(pc.field("row_key").isin(entry.items))
    return rows if rows.column_names == names else rows.select(names)


def read_columns(data: bytes, schema: pa.Schema) -> pa.Table:
    """The columns of a schema from a Parquet file; null where the file was written before the column existed.

    Raises:
        DAMAGED_FILE_ERRORS: one of them, where the bytes are no such file.
    """
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    return in_schema(file.read(schema.names, use_threads=False), schema)  # files are read concurrently, not columns


def read_items(storage: Storage, ref: ManifestRef, entry: CommittedFile, row_keys: Iterable[str]) -> list[Row]:
    """Read the rows of some items of one row file."""
    return read_row_file(storage, ref.asset, replace(entry, items=list(row_keys))).to_pylist()


def read_footer(storage: Storage, path: str) -> dict[str, Any]:
    """Read the footer of a row file: decision_key, items, transient, failed, lineage.

    Raises:
        ManifestError: the file is missing or damaged.
    """
    data = _read_file(storage, path)
    try:
        return json.loads((pq.read_metadata(pa.BufferReader(data)).metadata or {})[b"curator"])
    except DAMAGED_FILE_ERRORS as error:
        raise _damaged_file_error(storage, path, error) from error


def _read_file(storage: Storage, path: str) -> bytes:
    """Read the whole file: most hold few items, and a second request takes longer than reading the rest."""
    try:
        return storage.read_bytes(path)
    except FileNotFoundError as error:
        raise _missing_file_error(storage, path) from error


def _missing_file_error(storage: Storage, path: str) -> ManifestError:
    return ManifestError(
        f"{storage.location(path)} must be there, since a commit names it, and is missing. "
        "Run the phase again: what the file held is computed again."
    )


def _damaged_file_error(storage: Storage, path: str, error: Exception | str) -> ManifestError:
    return ManifestError(
        f"{storage.location(path)} must be a whole row file, got damage: {error}. Delete it and run the phase again: "
        "what it held is computed again."
    )
