"""The log of registrations: numbered entries, each created exclusively.

    {root}/partitions/_order/{n}.json
        {"partition": key, "videos": count}                      registers a partition
        {"partition": key, "videos": count, "added": digest}     adds members to the partition of a day or an hour
        {"relisted": [video id, ...]}                            makes these versions the newest again
        {"forgotten": digest of a uri}                           a source that is never registered again

All entries of one call have the same "registration" token; entries of earlier releases have none.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from stages.errors import ManifestError
from stages.sources.members import members_path, read_members_file
from stages.storage import Storage, digest, file_numbers, map_concurrently

LOG_FOLDER = "partitions/_order"

ENTRY_ROWS_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("registration", pa.string()),
        pa.field("partition", pa.string()),
        pa.field("added", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("video_id", pa.string()),
        pa.field("size_bytes", pa.int64()),
    ]
)
"""Entries as rows, one for each source; partition, uri and size_bytes are null for a relisted version, the last three
where a partition has no source. A forgotten source has the digest of its uri as uri, and no other column of these."""

_SNAPSHOT_PATH = re.compile(rf"{LOG_FOLDER}/upto-([1-9][0-9]*)\.([0-9a-f]+)\.parquet")


@dataclass(frozen=True)
class LogListing:
    """The files in the folder of the log.

    Attributes:
        etags: content tag of each entry, by its number.
        snapshots: number of the last entry in each snapshot, by its path, the newest first.
    """

    etags: Mapping[int, str]
    snapshots: Mapping[str, int]

    def digest(self, number: int) -> str:
        """Hash of all entries up to a number."""
        return digest(*(f"{each} {tag}" for each, tag in sorted(self.etags.items()) if each <= number))


def list_log(storage: Storage) -> LogListing:
    """List the entries and snapshots of the log."""
    files = storage.list(LOG_FOLDER)
    etags = {number: info.etag for info in files for number in file_numbers([info])}
    found = {info.path: int(name[1]) for info in files if (name := _SNAPSHOT_PATH.fullmatch(info.path))}
    return LogListing(etags, dict(sorted(found.items(), key=lambda each: -each[1])))


def entry_path(number: int) -> str:
    """Path of an entry, below the root."""
    return f"{LOG_FOLDER}/{number}.json"


def read_entries(storage: Storage, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Read the entries with these numbers, as far as they exist.

    Raises:
        ManifestError: an entry is damaged.
    """
    requested = list(numbers)
    found = zip(requested, map_concurrently(partial(_read_entry, storage), requested), strict=True)
    return {number: entry for number, entry in found if entry is not None}


def _read_entry(storage: Storage, number: int) -> dict[str, Any] | None:
    path = entry_path(number)
    try:
        entry = json.loads(storage.read_bytes(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ManifestError(f"{storage.location(path)} is damaged: {error}. Restore it from a copy.") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{storage.location(path)} must hold an entry of the log, got {entry!r:.80}.")
    return entry


def read_entry_rows(storage: Storage, entries: Mapping[int, dict[str, Any]]) -> list[pa.Table]:
    """The rows of each entry; the members files are read concurrently.

    Raises:
        ManifestError: a members file is missing or damaged.
    """

    def read_rows(number: int) -> pa.Table:
        entry = entries[number]
        if "partition" not in entry:
            return entry_rows(number, entry)
        path = members_path(entry["partition"], entry.get("added"))
        return entry_rows(number, entry, read_members_file(storage, path))

    return map_concurrently(read_rows, sorted(entries))


def entry_rows(number: int, entry: Mapping[str, Any], members: pa.Table | None = None) -> pa.Table:
    """The rows of an entry: a row for each member that it registers, for each version that it relists or forgets."""
    video_ids: list[str | None] = members["video_id"].to_pylist() if members is not None else entry.get("relisted", [])
    uris: list[str | None] = members["uri"].to_pylist() if members is not None else [None] * len(video_ids)
    sizes: list[int | None] = members["size_bytes"].to_pylist() if members is not None else [None] * len(video_ids)
    video_ids, uris, sizes = video_ids or [None], uris or [entry.get("forgotten")], sizes or [None]
    values = {
        "number": [number] * len(video_ids),
        "registration": [entry.get("registration", str(number))] * len(video_ids),
        "partition": [entry.get("partition")] * len(video_ids),
        "added": [entry.get("added")] * len(video_ids),
        "uri": uris,
        "video_id": video_ids,
        "size_bytes": sizes,
    }
    return pa.Table.from_pydict(values, schema=ENTRY_ROWS_SCHEMA)
