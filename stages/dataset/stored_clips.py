"""Finds the rows of a version of a root, and reads the files that they name."""

import os
from dataclasses import dataclass, replace
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.manifest import (
    DAMAGED_FILE_ERRORS,
    committed_partitions,
    find_version,
    newest_version,
    read_columns,
    read_manifest,
)
from stages.schemas import ASSETS
from stages.storage import Storage, map_concurrently, normalize_location
from stages.tasks import Row
from stages.write import read_dataset_file, relative_path

INDEX_FOLDER = "index"

_NEVER_NULL = ("partition", "clip_id", "uri", "status", "path", "start_pts", "end_pts", "time_base", "num_frames")
"""Columns that every release wrote, and without which no clip can be read."""


@dataclass(frozen=True, slots=True)
class StoredClips:
    """The kept rows of one version, and where their files are. Holds no connection, so it can be pickled and forked.

    Attributes:
        location: the root, or the copy of a folder ``dataset/``.
        is_root: False for such a copy.
        version: number of the version of the root; None for such a copy, and for a root without versions.
        rows: in the order of the asset ``dataset``.
    """

    location: str
    is_root: bool
    version: int | None
    rows: pa.Table

    def with_rows(self, rows: pa.Table) -> "StoredClips":
        """The same with some of the rows."""
        return replace(self, rows=rows.combine_chunks())

    def location_of(self, row: Row, column: str) -> str:
        """Where the file that a row names in a column lies while the newest version names it too."""
        path = relative_path(row[column], row["partition"])
        return f"{self.location}/dataset/{path}" if self.is_root else f"{self.location}/{path}"

    def read_file(self, row: Row, column: str) -> bytes:
        """The file that a row names in a column.

        Raises:
            ManifestError: it is missing.
            StorageError: the store does not answer.
        """
        storage = _storage_of_process(self.location, os.getpid())
        try:
            return _read(storage, row[column], row["partition"], is_root=self.is_root)
        except FileNotFoundError as error:
            raise ManifestError(self._missing_message(row, column)) from error

    def _missing_message(self, row: Row, column: str) -> str:
        named_by = f"the row of clip {row['clip_id']} names it ({column})"
        if not self.is_root:
            return f"{self.location_of(row, column)} must be there, since {named_by}. Copy the folder again, whole."
        version = f"version {self.version}" if self.version else "the newest commits"
        return (
            f"{self.location_of(row, column)} must be there, or in former/, since {named_by} in {version}, and "
            "is missing. Run `curator run` again, which makes files of the newest version again; what `curator vacuum` "
            "removed of an older version is gone, so open a newer one."
        )


def find_clips(location: str | os.PathLike[str], version: int | str | None) -> StoredClips:
    """The kept rows of a version of a root, or of a copy of its folder ``dataset/``.

    Without a version the newest one; of a root from before there were versions, the newest commits.

    Raises:
        ManifestError: there is no dataset, or no such version, or a file of a table is missing or damaged.
        StorageError: the store does not answer.
    """
    place = normalize_location(location)
    storage = _storage_of_process(place, os.getpid())
    found = newest_version(storage) if version is None else find_version(storage, version)
    number = found.number if found else None
    if number is None and not committed_partitions(storage, "dataset"):
        index = [info.path for info in storage.list(INDEX_FOLDER) if info.path.endswith(".parquet")]
        if index:
            tables = map_concurrently(lambda path: _read_index(storage, path), index)
            return StoredClips(place, False, None, _kept(pa.concat_tables(tables)))
    return StoredClips(place, True, number, _kept(read_manifest(place, "dataset", version=number)))


@lru_cache(maxsize=8)
def _storage_of_process(location: str, process_id: int) -> Storage:
    """A storage with connections of its own for each process: those of fsspec do not work in a forked one."""
    return Storage(location)


def _read(storage: Storage, path: str, partition: str, *, is_root: bool) -> bytes:
    if not is_root:
        return storage.read_bytes(relative_path(path, partition))
    try:
        return read_dataset_file(storage, path, partition)
    except FileNotFoundError:
        # A run that publishes may have moved it from former/ to dataset/ between the two looks.
        return read_dataset_file(storage, path, partition)


def _kept(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.field("status") == "kept").combine_chunks()


def _read_index(storage: Storage, path: str) -> pa.Table:
    """The rows of one partition; columns that a former release did not write are null."""
    data = storage.read_bytes(path)
    try:
        rows = read_columns(data, ASSETS["dataset"].schema)
    except DAMAGED_FILE_ERRORS as error:
        raise ManifestError(
            f"{storage.location(path)} must be a whole index, got damage: {error}. Copy the folder again."
        ) from error
    if lacking := [name for name in _NEVER_NULL if rows[name].null_count]:
        raise ManifestError(
            f"{storage.location(path)} must be an index of clips, got a table without {', '.join(lacking)}. "
            "Copy the folder again, and keep other Parquet files out of its index/."
        )
    return rows
