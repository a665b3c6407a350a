"""Some columns of the kept rows of very many tables, collected in few files.

So who plans over all of them reads only what is new:

    {root}/index/rows/{asset}-{hash of columns}/{hash}.parquet

A file holds whole tables, and tells of each the version that it was read from. It is named by the hash of its bytes and
never changes; tables that are new or have a new version are written into another, together with the files that are not
much larger. It says nothing that commits do not say: what is lost or damaged is read from them again.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest.commits import load_commit
from stages.manifest.held_rows import HeldRows, decode_kept_rows, table_of
from stages.manifest.row_files import DAMAGED_FILE_ERRORS, CommittedFile, ManifestRef, read_row_file
from stages.manifest.tables import layout_of
from stages.storage import MAX_CONCURRENT, FileInfo, Storage, digest, file_numbers, map_concurrently

COLLECTED_FOLDER = "index/rows"
COMMIT_COLUMN = "commit"
"""Column beside those of the asset's schema: the number of the commit that a row was read from."""
MERGED_RATIO = 2
"""A file is merged into a new one that has at least the n-th part of its rows."""
TABLES_AT_ONCE = 2000
"""Tables whose commits are in memory together."""
UNUSED_S = 24 * 3600.0
"""Files in which nothing is current are removed at this age: another run may be reading a younger one."""


@dataclass(frozen=True)
class _Version:
    """The version of a table: number of its commit, and a content tag of the commit's file."""

    number: int
    tag: str


@dataclass
class _File:
    """A file of collected rows.

    Attributes:
        info: the file.
        rows: all of its rows.
        tables: by partition, the version that is in it, and the slice of its rows.
        used: partitions whose rows are taken from it.
    """

    info: FileInfo
    rows: pa.Table
    tables: dict[str, tuple[_Version, int, int]]
    used: list[str] = field(default_factory=lambda: [])

    def used_rows(self) -> list[pa.Table]:
        if len(self.used) == len(self.tables):
            return [self.rows]
        return [self.rows.slice(self.tables[name][1], self.tables[name][2]) for name in self.used]

    @property
    def num_used(self) -> int:
        return sum(self.tables[name][2] for name in self.used)


def read_kept_rows(
    storage: Storage,
    asset: str,
    wanted: Mapping[str, int | None],
    columns: Sequence[str],
    *,
    may_write: bool = True,
) -> tuple[pa.Table, dict[str, int]]:
    """Kept rows of many partitions of an asset, in no order, and the number of the commit of each.

    Args:
        storage: of the root.
        asset: of the tables.
        wanted: by partition, the number of the commit to read; None for the newest.
        columns: of the asset's schema, ``partition`` among them; `COMMIT_COLUMN` is added.
        may_write: add what was not collected yet.

    Raises:
        ManifestError: nothing is committed for a partition, or a commit or file is missing or damaged.
    """
    versions = _versions(storage, asset, wanted)
    folder = f"{COLLECTED_FOLDER}/{asset}-{digest(*columns, length=12)}"
    files = _collected_files(storage, folder)
    missing = dict(versions)
    for file in files:
        file.used = [name for name, (version, _, _) in file.tables.items() if missing.get(name) == version]
        for name in file.used:
            del missing[name]
    new = _new_rows(storage, asset, columns, missing)
    if missing and may_write:
        _collect(storage, folder, files, new, missing)
    tables = [table for file in files for table in file.used_rows()]
    empty = _schema_of(asset, columns).empty_table()
    found = pa.concat_tables([empty, *tables, new])
    return found, {name: version.number for name, version in versions.items()}


def uncurrent_files(storage: Storage) -> list[FileInfo]:
    """Files of collected rows in which no table is current, or none that is not in a larger one."""
    folders = {info.path.rpartition("/")[0] for info in storage.list(COLLECTED_FOLDER)}
    found: list[FileInfo] = []
    for folder in sorted(folders):
        asset = folder.rpartition("/")[2].rpartition("-")[0]
        files = _collected_files(storage, folder)
        current = _versions(storage, asset, None)
        for file in files:
            used = [name for name, (version, _, _) in file.tables.items() if current.get(name) == version]
            if not used:
                found.append(file.info)
            for name in used:
                del current[name]
        whole = {file.info.path for file in files}
        found += [info for info in storage.list(folder) if info.path not in whole]
    return found


def _schema_of(asset: str, columns: Sequence[str]) -> pa.Schema:
    schema = layout_of(asset).schema
    return pa.schema([*(schema.field(name) for name in columns), pa.field(COMMIT_COLUMN, pa.int64())])


def _versions(storage: Storage, asset: str, wanted: Mapping[str, int | None] | None) -> dict[str, _Version]:
    """The version of each wanted partition, or the newest of all, by one listing of the asset."""
    commits: dict[str, list[FileInfo]] = {}
    for info in storage.list(f"manifests/{asset}"):
        partition, _, rest = info.path.removeprefix(f"manifests/{asset}/").partition("/")
        if rest.startswith("_commits/"):
            commits.setdefault(partition, []).append(info)
    found: dict[str, _Version] = {}
    for name, number in (dict.fromkeys(commits) if wanted is None else wanted).items():
        by_number = {each: info for info in commits.get(name, ()) for each in file_numbers([info])}
        chosen = number or max(by_number, default=0)
        if chosen not in by_number:
            raise ManifestError(
                f"Nothing is committed for {asset} of partition {name!r} under {storage.root}. Materialize it first."
            )
        found[name] = _Version(chosen, by_number[chosen].etag)
    return found


def _new_rows(storage: Storage, asset: str, columns: Sequence[str], versions: Mapping[str, _Version]) -> pa.Table:
    """Kept rows of these versions, partition by partition and by clip."""
    names = list(dict.fromkeys([*columns, "partition"]))
    schema = pa.schema([layout_of(asset).schema.field(name) for name in names])
    rows = pa.concat_tables([schema.empty_table(), *_kept_rows(storage, asset, schema, list(versions.items()))])
    by_clip = ["clip_id"] if "clip_id" in names else []
    rows = rows.combine_chunks().sort_by([(name, "ascending") for name in ("partition", *by_clip)])
    counts = _counts(rows)
    numbers = np.repeat(np.array([versions[name].number for name in counts], np.int64), list(counts.values()))
    return rows.select(columns).append_column(COMMIT_COLUMN, pa.array(numbers)).combine_chunks()


def _counts(rows: pa.Table) -> dict[str, int]:
    """Number of rows by partition, in the order in which these come."""
    return {entry["values"]: entry["counts"] for entry in rows["partition"].value_counts().to_pylist()}


def _kept_rows(
    storage: Storage, asset: str, schema: pa.Schema, versions: Sequence[tuple[str, _Version]]
) -> Iterator[pa.Table]:
    """Kept rows of these versions: those that commits hold, and of other commits those of their row files."""
    # Of a local disk a core waits for little: more threads than cores would wait for one another.
    num_threads = min(MAX_CONCURRENT, os.cpu_count() or 1) if storage.is_local else MAX_CONCURRENT
    for start in range(0, len(versions), TABLES_AT_ONCE):
        part = versions[start : start + TABLES_AT_ONCE]
        found = map_concurrently(partial(_held_rows_or_files, storage, asset, schema.names), part, num_threads)
        yield table_of([each for each in found if not isinstance(each, list)], schema)
        files = [entry for each in found if isinstance(each, list) for entry in each]
        if files:
            read = partial(read_row_file, storage, asset, columns=[*schema.names, "status"])
            rows = pa.concat_tables(map_concurrently(read, files, num_threads)).combine_chunks()
            yield rows.filter(pc.field("status") == "kept").select(schema.names)


def _held_rows_or_files(
    storage: Storage, asset: str, columns: Sequence[str], table: tuple[str, _Version]
) -> HeldRows | list[CommittedFile]:
    """The kept rows that the commit of a table holds; its row files where it does not hold all of these columns."""
    name, version = table
    commit = load_commit(storage, ManifestRef(storage.root, asset, name), version.number)
    held = decode_kept_rows(commit.kept_rows, columns)
    return commit.files if held is None else held


def _collected_files(storage: Storage, folder: str) -> list[_File]:
    """Whole files of collected rows, largest first."""
    infos = [info for info in storage.list(folder) if info.path.endswith(".parquet")]
    files = [file for file in map_concurrently(partial(_read_file, storage), infos) if file is not None]
    return sorted(files, key=lambda file: (-len(file.rows), file.info.path))


def _read_file(storage: Storage, info: FileInfo) -> _File | None:
    """A file of collected rows; None where it is gone or damaged."""
    try:
        data = storage.read_bytes(info.path)
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest()[:32] != info.path.rpartition("/")[2].partition(".")[0]:
        return None
    try:
        rows = pq.read_table(pa.BufferReader(data))
        entries = json.loads((rows.schema.metadata or {})[b"tables"])
    except DAMAGED_FILE_ERRORS:
        return None
    tables: dict[str, tuple[_Version, int, int]] = {}
    start = 0
    for name, number, tag, count in entries:
        tables[name] = (_Version(number, tag), start, count)
        start += count
    return _File(info, rows.replace_schema_metadata(None), tables)


def _collect(
    storage: Storage, folder: str, files: Sequence[_File], new: pa.Table, versions: Mapping[str, _Version]
) -> None:
    """Write new tables into a file, with those of files that are not much larger; remove files that are not used."""
    total = len(new)
    merged: list[_File] = []
    for file in sorted(files, key=lambda file: file.num_used):
        if file.used and file.num_used <= MERGED_RATIO * total:
            merged.append(file)
            total += file.num_used
    entries = [(name, file.tables[name][0], file.tables[name][2]) for file in merged for name in file.used]
    counts = _counts(new)
    entries += [(name, versions[name], counts.get(name, 0)) for name in [*counts, *(set(versions) - set(counts))]]
    rows = pa.concat_tables([table for file in merged for table in file.used_rows()] + [new])
    facts = [(name, version.number, version.tag, count) for name, version, count in entries]
    buffer = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata({"tables": json.dumps(facts)}), buffer, compression="zstd")
    data = buffer.getvalue()
    storage.write_bytes(f"{folder}/{hashlib.sha256(data).hexdigest()[:32]}.parquet", data)
    _remove_unused(storage, [file.info for file in files if not file.used])


def _remove_unused(storage: Storage, infos: Iterable[FileInfo]) -> None:
    for info in infos:
        if info.modified_s is not None and info.modified_s < time.time() - UNUSED_S:
            storage.delete(info.path)
