"""Source videos: listing a folder or bucket, and grouping what is new into partitions whose members never change.

    {root}/partitions/{partition}.parquet     members
    {root}/partitions/_order/{n}.json         the n-th entry of the log, taken by exclusive creation:
                                              {"partition": key, "videos": count}    a partition is registered
                                              {"relisted": [video id, ...]}          these versions are the newest again

Members are written before the number is taken, so that a registration that dies half-way is finished by the next.
A number is taken by who has read all entries before it, so that no two partitions get one video. Where a store lets
two have it all the same, the one registered first holds it.
"""

import contextlib
import fnmatch
import io
import json
import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import ManifestError, ParamsError
from stages.params import ReadParams
from stages.schemas import PARTITION_SCHEMA
from stages.storage import (
    FileInfo,
    Storage,
    digest,
    file_info,
    find,
    is_url,
    local_info,
    normalize,
    numbers_of,
    open_filesystem,
)
from stages.store_calls import try_again

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One version of one source video.

    Attributes:
        uri: absolute path, or URL.
        etag: content tag.
        size_bytes: its size.
    """

    uri: str
    etag: str
    size_bytes: int

    @property
    def video_id(self) -> str:
        """Equal for equal uri and content tag, hence in every run."""
        return digest(self.uri, self.etag, length=16)


def list_sources(location: str, params: ReadParams, *, outside: str | None = None) -> list[Source]:
    """Every video below a folder or URL that the patterns admit, sorted by uri. One file is listed as itself.

    Args:
        location: folder, file or URL.
        params: patterns, and how many at most.
        outside: a folder or URL below which nothing is listed, such as the root that the clips are written to.

    Raises:
        ParamsError: the folder does not exist, its protocol is unknown, or a name in it is not UTF-8.
    """
    location = normalize(location)
    hidden = f"{normalize(outside)}/" if outside else None
    found = [
        Source(_checked(uri), info.etag, info.size_bytes)
        for uri, info in sorted(_walk(location))
        if _admits(info.path, params) and not (hidden and uri.startswith(hidden))
    ]
    return found[: params.limit] if params.limit else found


def _checked(uri: str) -> str:
    """The uri, which a table can hold as text."""
    try:
        uri.encode()
    except UnicodeEncodeError as error:
        raise ParamsError(
            f"The name of a source must be UTF-8, got {uri!a}. Rename it, or leave it out with read.exclude."
        ) from error
    return uri


def _walk(location: str) -> Iterator[tuple[str, FileInfo]]:
    """Pairs of uri and entry, the entry's path taken from the listed folder."""
    if not is_url(location):
        yield from _walk_local(location)
        return
    filesystem, base = open_filesystem(location)
    entries = try_again(lambda: find(filesystem, base), store=location, operation="listing")
    if not entries:
        raise ParamsError(f"SOURCE must be a folder or URL with files below it, got {location!r}: nothing is there.")
    for name, entry in entries.items():
        relative = name[len(base) :].lstrip("/")
        uri = f"{location}/{relative}" if relative else location
        yield uri, file_info(relative or name.rsplit("/", 1)[-1], entry)


def _walk_local(location: str) -> Iterator[tuple[str, FileInfo]]:
    if os.path.isfile(location):
        yield location, local_info(location, os.path.basename(location))
        return
    if not os.path.isdir(location):
        raise ParamsError(f"SOURCE must be a folder, a file or an fsspec URL, got {location!r}: it does not exist.")
    for folder, _, files in os.walk(location, onerror=_warn_unlisted):
        for name in files:
            path = os.path.join(folder, name)
            # A broken symbolic link and a socket are no files; a link to a file is one.
            if os.path.isfile(path):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    yield path, local_info(path, os.path.relpath(path, location))


def _warn_unlisted(error: OSError) -> None:
    logger.warning("Sources below %s are left out: %s.", error.filename, error.strerror)


def _admits(relative: str, params: ReadParams) -> bool:
    def matches(patterns: list[str]) -> bool:
        texts = (relative.lower(), relative.lower().rsplit("/", 1)[-1])
        return any(fnmatch.fnmatchcase(text, pattern.lower()) for pattern in patterns for text in texts)

    return matches(params.include) and not matches(params.exclude)


def registered_partitions(storage: Storage) -> list[str]:
    """Partition keys in the order of their registration."""
    # A partition that stands twice in the log has the place of its first entry.
    return list(dict.fromkeys(entry["partition"] for _, entry in _log(storage) if "partition" in entry))


def _log(storage: Storage) -> Iterator[tuple[int, dict[str, Any]]]:
    """Entries by number. Numbers that the listing missed, since they were taken meanwhile, are among them."""
    listed = numbers_of(storage.list("partitions/_order"))
    for number in range(1, max(listed, default=0) + 1):
        entry = _read_entry(storage, number)
        if entry is not None:
            yield number, entry


def _read_entry(storage: Storage, number: int) -> dict[str, Any] | None:
    """What the log says there; None where nothing is.

    Raises:
        ManifestError: the entry is damaged.
    """
    path = f"partitions/_order/{number}.json"
    try:
        entry = json.loads(storage.read_bytes(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ManifestError(f"{storage.location(path)} is damaged: {error}. Restore it from a copy.") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{storage.location(path)} must hold an entry of the log, got {entry!r:.80}.")
    return entry


def read_members(storage: Storage, partition: str) -> pa.Table:
    """The source videos of one partition as they were written, with the columns of `PARTITION_SCHEMA`.

    Raises:
        ManifestError: there is no such partition, or its file is damaged.
    """
    path = f"partitions/{partition}.parquet"
    try:
        data = storage.read_bytes(path)
    except FileNotFoundError as error:
        raise ManifestError(
            f"Partition must be registered under {storage.root}/partitions, got {partition!r}. "
            "Run `curator run SOURCE --root ROOT`, or turn on the sensor, to register one."
        ) from error
    try:
        # Arrow's threads that still read a Python file object abort a process that ends right then.
        return pq.read_table(pa.BufferReader(data), use_threads=False).select(PARTITION_SCHEMA.names)
    except (pa.ArrowException, OSError, KeyError) as error:  # of damaged pages Arrow tells by an OSError
        raise ManifestError(
            f"{storage.location(path)} is damaged: {error}. Restore it from a copy, or delete it together with its "
            "entry in partitions/_order; the next `curator run` registers its sources again."
        ) from error


class Register:
    """The log of registrations: each entry, and the members of each partition, are read once.

    Attributes:
        members: (uri, video id) of each member by partition, in the order of registration.
        holder: partition by video id: the one registered first.
        newest: by uri, the video id of the version that was listed last.
        relistings: by video id, how often the version became the newest again.
    """

    def __init__(self, storage: Storage) -> None:
        self.members: dict[str, list[tuple[str, str]]] = {}
        self.holder: dict[str, str] = {}
        self.newest: dict[str, str] = {}
        self.relistings: dict[str, int] = {}
        self._uris: dict[str, str] = {}
        self._storage = storage
        self._last = 0
        for number, entry in _log(storage):
            self._follow(entry)
            self._last = number

    def held_members(self, partition: str) -> pa.Table:
        """`read_members` without the videos that a partition registered earlier holds.

        Raises:
            ManifestError: there is no such partition.
        """
        table = read_members(self._storage, partition)
        held = [self.holder.get(video_id, partition) == partition for video_id in table["video_id"].to_pylist()]
        return table.filter(pa.array(held, pa.bool_()))

    def superseded(self) -> dict[str, set[str]]:
        """By partition, the video ids that it holds and whose uri was listed later with other content."""
        replaced: dict[str, set[str]] = {}
        for video_id, partition in self.holder.items():
            if self.newest[self._uris[video_id]] != video_id:
                replaced.setdefault(partition, set()).add(video_id)
        return replaced

    def partitions_of(self, uris: Collection[str]) -> list[str]:
        """Partitions that have any version of these sources as a member, in the order of registration."""
        return [key for key, members in self.members.items() if any(uri in uris for uri, _ in members)]

    def append(self, entry: dict[str, Any]) -> bool:
        """Make the entry the next of the log; False where somebody else's became that, which is then followed."""
        self._last += 1
        path = f"partitions/_order/{self._last}.json"
        taken = self._storage.create_bytes(path, json.dumps(entry).encode())
        self._follow(entry if taken else _read_entry(self._storage, self._last) or {})
        return taken

    def _follow(self, entry: dict[str, Any]) -> None:
        relisted: list[str] = [video_id for video_id in entry.get("relisted", []) if video_id in self._uris]
        for video_id in relisted:
            self.newest[self._uris[video_id]] = video_id
            self.relistings[video_id] = self.relistings.get(video_id, 0) + 1
        partition = entry.get("partition")
        if partition is None or partition in self.members:
            return
        table = read_members(self._storage, partition)
        self.members[partition] = list(zip(table["uri"].to_pylist(), table["video_id"].to_pylist(), strict=True))
        for uri, video_id in self.members[partition]:
            self._uris[video_id] = uri
            self.newest[uri] = video_id
            self.holder.setdefault(video_id, partition)


def register_sources(storage: Storage, sources: list[Source], partition_size: int) -> list[str]:
    """Give every source a partition and return those that hold a listed one, in registration order.

    Known versions of sources keep their partition; new ones form new partitions of at most `partition_size`. A known
    version that another one followed is the newest again.
    """
    register = Register(storage)
    again = [source for source in sources if source.video_id in register.holder]
    new = [source for source in sources if source.video_id not in register.holder]
    while again := [source for source in again if register.newest[source.uri] != source.video_id]:
        if register.append({"relisted": [source.video_id for source in again]}):
            break
    while new:
        members = new[:partition_size]
        if register.append({"partition": _write_members(storage, members), "videos": len(members)}):
            new = new[partition_size:]
        else:
            new = [source for source in new if source.video_id not in register.holder]
    wanted = {register.holder[source.video_id] for source in sources}
    return [partition for partition in register.members if partition in wanted]


def _write_members(storage: Storage, members: list[Source]) -> str:
    """The key of the partition, whose members are there but in no entry of the log."""
    partition = digest(*(source.video_id for source in members), length=12)
    table = pa.Table.from_pylist(
        [
            {
                "uri": source.uri,
                "video_id": source.video_id,
                "etag": source.etag,
                "size_bytes": source.size_bytes,
            }
            for source in members
        ],
        schema=PARTITION_SCHEMA,
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.create_bytes(f"partitions/{partition}.parquet", buffer.getvalue())
    return partition
