"""What a partition holds, for people: how many videos, of what size, from when, and the first of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow.compute as pc

from stages.manifest import ManifestRef, last_commit, read_commit
from stages.sources.batch_keys import newest_modification
from stages.sources.register import Register
from stages.storage import map_concurrently

_NUM_URIS = 3
"""Videos that stand for all of a partition."""


@dataclass(frozen=True, slots=True)
class PartitionContents:
    """The videos of one partition.

    Attributes:
        partition: its key.
        num_videos: videos that it holds.
        size_bytes: of all of them, when they were listed.
        newest: latest time of modification, in UTC; None where the store gives none, or an earlier release registered
            them.
        uris: of the first three videos, in the order in which they were listed.
    """

    partition: str
    num_videos: int
    size_bytes: int
    newest: datetime | None
    uris: tuple[str, ...]


def read_contents(register: Register, partitions: Sequence[str]) -> list[PartitionContents]:
    """The contents of registered partitions, in their order.

    Raises:
        ManifestError: a partition is not registered, or a file of it is missing or damaged.
        StorageError: the root does not answer.
    """

    def contents(partition: str) -> PartitionContents:
        members = register.read_held_members(partition)
        uris = members["uri"].slice(0, _NUM_URIS).to_pylist()
        newest = newest_modification(members["modified_s"].to_pylist())
        size_bytes = sum(members["size_bytes"].to_pylist())
        return PartitionContents(partition, len(members), size_bytes, newest, tuple(uris))

    return map_concurrently(contents, partitions)


def read_hours(register: Register, partitions: Sequence[str]) -> list[float | None]:
    """Hours of video in partitions, as far as they could be probed; None where `videos` is not made yet.

    Raises:
        ManifestError: a table is damaged.
        StorageError: the root does not answer.
    """

    def hours(partition: str) -> float | None:
        ref = ManifestRef(register.storage.root, "videos", partition)
        commit = last_commit(register.storage, ref)
        if commit is None:
            return None
        kept = read_commit(register.storage, ref, commit, ["status", "duration_s"]).filter(pc.field("status") == "kept")
        return sum(seconds or 0.0 for seconds in kept["duration_s"].to_pylist()) / 3600

    return map_concurrently(hours, partitions)
