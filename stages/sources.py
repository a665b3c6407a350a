"""Source videos: listing a folder or bucket, and grouping what is new into partitions whose members never change.

    {root}/partitions/{partition}.parquet     members
    {root}/partitions/_order/{n}.json         the n-th registered partition, taken by exclusive creation

Members are written before the number is taken, so that a registration that dies half-way is finished by the next.
"""

import contextlib
import fnmatch
import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import ManifestError, ParamsError
from stages.params import ReadParams
from stages.schemas import PARTITION_SCHEMA
from stages.storage import FileInfo, Storage, digest, file_info, is_url, local_info, normalize, open_filesystem

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


def list_sources(location: str, params: ReadParams) -> list[Source]:
    """Every video below a folder or URL that the patterns admit, sorted by uri. One file is listed as itself.

    Raises:
        ParamsError: the folder does not exist, its protocol is unknown, or a name in it is not UTF-8.
    """
    location = normalize(location)
    found = [
        Source(_checked(uri), info.etag, info.size_bytes)
        for uri, info in sorted(_walk(location))
        if _admits(info.path, params)
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
    filesystem.invalidate_cache()
    try:
        entries = filesystem.find(base, detail=True)
    except FileNotFoundError:
        entries = {}
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
    numbered = [
        (int(info.path.rsplit("/", 1)[-1].removesuffix(".json")), info.path)
        for info in storage.list("partitions/_order")
    ]
    return [json.loads(storage.read_bytes(path))["partition"] for _, path in sorted(numbered)]


def read_members(storage: Storage, partition: str) -> pa.Table:
    """The source videos of one partition, with the columns of `PARTITION_SCHEMA`.

    Raises:
        ManifestError: there is no such partition.
    """
    try:
        data = storage.read_bytes(f"partitions/{partition}.parquet")
    except FileNotFoundError as error:
        raise ManifestError(
            f"Partition must be registered under {storage.root}/partitions, got {partition!r}. "
            "Run `curator run SOURCE --root ROOT`, or turn on the sensor, to register one."
        ) from error
    return pq.read_table(io.BytesIO(data))


def register_sources(storage: Storage, sources: list[Source], partition_size: int) -> list[str]:
    """Give every source a partition and return those that hold a listed one, in registration order.

    Known versions of sources keep their partition; new ones form new partitions of at most `partition_size`.
    """
    holder: dict[str, str] = {}
    for partition in registered_partitions(storage):
        for video_id in read_members(storage, partition)["video_id"].to_pylist():
            holder.setdefault(video_id, partition)
    new = [source for source in sources if source.video_id not in holder]
    for start in range(0, len(new), partition_size):
        members = new[start : start + partition_size]
        partition = _register(storage, members)
        holder.update({source.video_id: partition for source in members})
    wanted = {holder[source.video_id] for source in sources}
    return [partition for partition in registered_partitions(storage) if partition in wanted]


def _register(storage: Storage, members: list[Source]) -> str:
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
    taken = registered_partitions(storage)
    number = len(taken) + 1
    while partition not in taken:
        entry = json.dumps({"partition": partition, "videos": len(members)}).encode()
        if storage.create_bytes(f"partitions/_order/{number}.json", entry):
            break
        number += 1
        taken = registered_partitions(storage)
    return partition


def superseded(storage: Storage, partition: str) -> set[str]:
    """Video ids of a partition whose uri was registered again later, with other content."""
    return superseded_by_partition(storage).get(partition, set())


def superseded_by_partition(storage: Storage) -> dict[str, set[str]]:
    """For every partition, the video ids whose uri was registered again later, with other content."""
    holders: dict[str, tuple[str, str]] = {}
    replaced: dict[str, set[str]] = {}
    for partition in registered_partitions(storage):
        for row in read_members(storage, partition).to_pylist():
            former = holders.get(row["uri"])
            if former and former[1] != row["video_id"]:
                replaced.setdefault(former[0], set()).add(former[1])
            holders[row["uri"]] = (partition, row["video_id"])
    return replaced
