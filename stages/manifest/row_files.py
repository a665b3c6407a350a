"""Row files: the rows of some items, each item whole in one file, and a footer that lists what is inside."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Row

ALL = "all"
"""The one partition of an asset that looks across partitions."""

DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)
"""What Arrow and JSON raise over bytes that are no row file; Arrow says OSError of bytes in memory too."""


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
        failed: of those of them with failed rows, the reason of each row in order, empty where that one did not fail.
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

    def reasons(self, row_key: str) -> set[str]:
        """Why rows of an item failed; empty where none did."""
        return {reason for reason in self.failed.get(row_key, ()) if reason}


def read_rows(storage: Storage, asset: str, entry: CommittedFile, columns: list[str] | None = None) -> pa.Table:
    """The rows of the items that are taken from one file; columns that it lacks are null.

    Raises:
        ManifestError: the file is missing or damaged.
    """
    schema = ASSETS[asset].schema
    wanted = pa.schema([schema.field(name) for name in columns or schema.names])
    data = _bytes_of(storage, entry.path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        present = [name for name in wanted.names if name in file.schema_arrow.names]
        table = file.read(present, use_threads=False)  # files are read at once, not columns
        for column in wanted:
            if column.name not in present:  # the file was written before the column existed
                table = table.append_column(column, pa.nulls(len(table), column.type))
        return table.select(wanted.names).cast(wanted).filter(pc.field("row_key").isin(entry.items))
    except DAMAGE as error:
        raise _damaged(storage, entry.path, error) from error


def read_items(storage: Storage, ref: ManifestRef, entry: CommittedFile, row_keys: Iterable[str]) -> list[Row]:
    """The stored rows of some items of one row file."""
    return read_rows(storage, ref.asset, replace(entry, items=list(row_keys))).to_pylist()


def read_footer(storage: Storage, path: str) -> dict[str, Any]:
    """What a row file says of itself: decision_key, items, transient, failed, lineage.

    Raises:
        ManifestError: the file is missing or damaged.
    """
    data = _bytes_of(storage, path)
    try:
        return json.loads((pq.read_metadata(pa.BufferReader(data)).metadata or {})[b"curator"])
    except DAMAGE as error:
        raise _damaged(storage, path, error) from error


def _bytes_of(storage: Storage, path: str) -> bytes:
    """The whole file: it holds 64 items at most, and a second request costs more than the rest of it."""
    try:
        return storage.read_bytes(path)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{storage.location(path)} must be there, since a commit names it, and is missing. "
            "Run the phase again: what the file held is computed again."
        ) from error


def _damaged(storage: Storage, path: str, error: Exception) -> ManifestError:
    return ManifestError(
        f"{storage.location(path)} must be a whole row file, got damage: {error}. Delete it and run the phase again: "
        "what it held is computed again."
    )
