"""The log of registrations, one entry a number, taken by exclusive creation.

    {root}/partitions/_order/{n}.json
        {"partition": key, "videos": count}                      a partition is registered
        {"partition": key, "videos": count, "added": digest}     more members of a partition whose key was given
        {"relisted": [video id, ...]}                            these versions are the newest again

Each entry that one call registered also has the same "registration"; entries of earlier versions have none.
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
from stages.storage import Storage, digest, numbers_of, read_at_once

LOG_FOLDER = "partitions/_order"

ROWS_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("registration", pa.string()),
        pa.field("partition", pa.string()),
        pa.field("added", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("video_id", pa.string()),
    ]
)
"""Entries with what they registered, a row a source; partition and uri are null where it was relisted, uri and video_id
where a partition has no source."""

_SNAPSHOT = re.compile(rf"{LOG_FOLDER}/upto-([1-9][0-9]*)\.([0-9a-f]+)\.parquet")


@dataclass(frozen=True)
class LogListing:
    """What lies in the folder of the log.

    Attributes:
        tags: content tag of each entry by number.
        snapshots: number of the last entry by path, the newest first.
    """

    tags: Mapping[int, str]
    snapshots: Mapping[str, int]

    def digest(self, number: int) -> str:
        """Of all entries up to a number."""
        return digest(*(f"{each} {tag}" for each, tag in sorted(self.tags.items()) if each <= number))


def list_log(storage: Storage) -> LogListing:
    """The numbers that are taken now, and the snapshots."""
    files = storage.list(LOG_FOLDER)
    tags = {number: info.etag for info in files for number in numbers_of([info])}
    found = {info.path: int(name[1]) for info in files if (name := _SNAPSHOT.fullmatch(info.path))}
    return LogListing(tags, dict(sorted(found.items(), key=lambda each: -each[1])))


def entry_path(number: int) -> str:
    """Where an entry lies, below the root."""
    return f"{LOG_FOLDER}/{number}.json"


def read_entries(storage: Storage, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What the log says under these numbers, as far as they are taken.

    Raises:
        ManifestError: an entry is damaged.
    """
    asked = list(numbers)
    found = zip(asked, read_at_once(partial(_read_entry, storage), asked), strict=True)
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
    """Each entry with what it registered, the members files read at once.

    Raises:
        ManifestError: a members file is missing or damaged.
    """

    def rows(number: int) -> pa.Table:
        entry = entries[number]
        if "partition" not in entry:
            return entry_rows(number, entry)
        path = members_path(entry["partition"], entry.get("added"))
        return entry_rows(number, entry, read_members_file(storage, path))

    return read_at_once(rows, sorted(entries))


def entry_rows(number: int, entry: Mapping[str, Any], members: pa.Table | None = None) -> pa.Table:
    """An entry with what it registered, or with the versions that it relisted."""
    names: list[str | None] = members["video_id"].to_pylist() if members is not None else entry.get("relisted", [])
    uris: list[str | None] = members["uri"].to_pylist() if members is not None else [None] * len(names)
    names, uris = names or [None], uris or [None]
    values = {
        "number": [number] * len(names),
        "registration": [entry.get("registration", str(number))] * len(names),
        "partition": [entry.get("partition")] * len(names),
        "added": [entry.get("added")] * len(names),
        "uri": uris,
        "video_id": names,
    }
    return pa.Table.from_pydict(values, schema=ROWS_SCHEMA)
