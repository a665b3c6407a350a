"""The register: the partition that holds each source, and the newest version of each source.

A process appends to the log only after it has read all earlier entries, so that no video gets two partitions. If a
store does not guarantee this, the partition registered first holds the video.
"""

import json
import secrets
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.sources.members import members_path, read_members_file
from stages.sources.register_log import entry_path, entry_rows, list_log, read_entries, read_entry_rows
from stages.sources.size_index import SizeIndex
from stages.sources.snapshot import Snapshot, read_newest_snapshot, without_sources, write_snapshot
from stages.sources.source_listing import Source
from stages.storage import MAX_CONCURRENT, Storage, digest, map_concurrently

ENTRIES_PER_SNAPSHOT = 128
"""A snapshot is written after so many new entries: each entry is two small files to read."""

_MAX_LOOKAHEAD = 4_096
"""Entry numbers that are read in one go, at most."""


@dataclass(frozen=True, slots=True)
class RegisterEntry:
    """One entry of the log.

    Attributes:
        number: position in the log, from 1.
        partition: partition that the entry registers or extends; None if it makes older versions the newest again, or
            a source is forgotten.
        registration: token that all entries of one call share.
        affected_partitions: other partitions that hold another version of the entry's sources, or a possible copy of
            one, see `SizeIndex.possible_copies`; for an entry that relists versions, all partitions that hold a
            version of their sources, or a possible copy; for one that forgets a source, those that held it, where this
            register knew it: a new one cannot, since its members are erased. They need no run, since forgetting
            removes the source's rows and files itself.
    """

    number: int
    partition: str | None
    registration: str
    affected_partitions: tuple[str, ...]


class Register:
    """The state that the log of registrations describes. A process may keep one and `refresh` it, in one thread.

    Attributes:
        storage: of the root.
        last_number: of the last entry that was read; 0 without one.
        member_files: paths of the members files by partition, in the order of registration.
        partition_by_video_id: the partition that holds a video, which is the first that registered it.
        newest_version: by uri, the video id of the version that was listed last.
        relistings: by video id, how often the version became the newest again.
        sizes: the videos of each size.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._load()

    def _load(self) -> None:
        self.last_number = 0
        self.member_files: dict[str, list[str]] = {}
        self.partition_by_video_id: dict[str, str] = {}
        self.newest_version: dict[str, str] = {}
        self.relistings: dict[str, int] = {}
        self.sizes = SizeIndex()
        self._entries: list[RegisterEntry] = []
        self._versions_by_uri: dict[str, list[str]] = {}
        self._uri_by_video_id: dict[str, str] = {}
        self._forgotten: set[str] = set()
        self._rows_since_snapshot: list[pa.Table] = []
        listing = list_log(self.storage)
        snapshot = read_newest_snapshot(self.storage, listing)
        self._replay(snapshot.rows)
        self._snapshot_number = self.last_number = snapshot.number
        # This includes entries that were created during the listing, which therefore misses them.
        self._read_entries(range(self.last_number + 1, max(listing.etags, default=0) + 1))

    def refresh(self) -> None:
        """Read the entries that were appended since; all entries where the root was recreated meanwhile."""
        if self._entries and not self._last_entry_is_unchanged():
            self._load()
        lookahead = MAX_CONCURRENT
        while self._read_entries(range(self.last_number + 1, self.last_number + 1 + lookahead)):
            lookahead = min(8 * lookahead, _MAX_LOOKAHEAD)

    def _last_entry_is_unchanged(self) -> bool:
        """True where the last entry that was read still exists, with the same registration."""
        last = self._entries[-1]
        stored = read_entries(self.storage, [last.number]).get(last.number, {})
        return bool(stored) and stored.get("registration", str(last.number)) == last.registration

    def entries_after(self, number: int) -> list[RegisterEntry]:
        """Entries with a higher number, in their order."""
        return self._entries[bisect_right(self._entries, number, key=lambda entry: entry.number) :]

    def last_entries(self) -> dict[str, int]:
        """By partition, the number of the last entry that registers, extends or affects it."""
        return {
            name: each.number for each in self._entries for name in (each.partition, *each.affected_partitions) if name
        }

    def has_entry(self, number: int) -> bool:
        """True where the log has an entry of this number now."""
        return self.storage.exists(entry_path(number))

    def unregistered(self, sources: Iterable[Source]) -> list[Source]:
        """The sources that registering would change: new ones, and older versions that are listed again."""
        return [
            source
            for source in sources
            if self.newest_version.get(source.uri) != source.video_id and not self.is_forgotten(source.uri)
        ]

    def is_forgotten(self, uri: str) -> bool:
        """True where the source was taken out of the root, for good."""
        return bool(self._forgotten) and digest(uri) in self._forgotten

    def forget(self, uri: str) -> None:
        """Take a source out of the register, and never register it again, with whatever content.

        The log keeps a hash of its uri. Members files and snapshots still hold it, see `erase_source`.
        """
        entry = {"forgotten": digest(uri), "registration": secrets.token_hex(6)}
        while not self.is_forgotten(uri) and not self.append(entry):
            pass

    def read_members(self, partition: str) -> pa.Table:
        """Read the source videos of one partition as registered, with the columns of `PARTITION_SCHEMA`.

        Raises:
            ManifestError: there is no such partition, or a file of it is missing or damaged.
        """
        if partition not in self.member_files:
            raise ManifestError(
                f"Partition must be registered under {self.storage.root}/partitions, got {partition!r}. "
                "Run `curator run SOURCE --root ROOT`, or turn on the sensor, to register one."
            )
        files = map_concurrently(partial(read_members_file, self.storage), self.member_files[partition])
        table = pa.concat_tables(files)
        return table.filter(pa.array([not self.is_forgotten(uri) for uri in table["uri"].to_pylist()], pa.bool_()))

    def read_held_members(self, partition: str) -> pa.Table:
        """`read_members` without the videos that an earlier partition holds, each video once.

        Raises:
            ManifestError: there is no such partition, or a file of it is missing or damaged.
        """
        table = self.read_members(partition)
        first_rows = {video_id: row for row, video_id in reversed(list(enumerate(table["video_id"].to_pylist())))}
        held = [row for name, row in first_rows.items() if self.partition_by_video_id.get(name, partition) == partition]
        return table.take(pa.array(sorted(held), pa.int64()))

    def superseded(self) -> dict[str, set[str]]:
        """By partition, the ids of the videos that it holds and whose source was listed later with other content."""
        replaced: dict[str, set[str]] = {}
        for uri, versions in self._versions_by_uri.items():
            for video_id in versions:
                if self.newest_version[uri] != video_id:
                    replaced.setdefault(self.partition_by_video_id[video_id], set()).add(video_id)
        return replaced

    def partitions_of(self, uris: Collection[str]) -> list[str]:
        """Partitions that hold any version of these sources, in the order of registration."""
        known = [uri for uri in uris if uri in self.newest_version]
        holding = {
            self.partition_by_video_id[name]
            for uri in known
            for name in self._versions_by_uri.get(uri, (self.newest_version[uri],))
        }
        return [partition for partition in self.member_files if partition in holding]

    def append(self, entry: Mapping[str, Any], members: pa.Table | None = None) -> bool:
        """Append an entry to the log; False where another process took its number, whose entries are then read.

        Args:
            entry: the JSON object of the log.
            members: the members that it registers, whose file exists already; None for an entry that relists versions.
        """
        number = self.last_number + 1
        if not self.storage.create_bytes(entry_path(number), json.dumps(entry).encode()):
            self.refresh()
            return False
        self._add_rows(entry_rows(number, entry, members))
        self.last_number = number
        return True

    def save_snapshot(self) -> None:
        """Write a snapshot where `ENTRIES_PER_SNAPSHOT` entries were appended since the last."""
        if self.last_number - self._snapshot_number < ENTRIES_PER_SNAPSHOT:
            return
        listing = list_log(self.storage)
        base = read_newest_snapshot(self.storage, listing)
        if base.number < self._snapshot_number:  # the snapshot that this register was loaded from was deleted
            Register(self.storage).save_snapshot()
        elif base.number < self.last_number:
            recent = pa.concat_tables(self._rows_since_snapshot).filter(pc.field("number") > base.number)
            rows = without_sources(pa.concat_tables([base.rows, recent]), self.is_forgotten)
            write_snapshot(self.storage, listing, Snapshot(self.last_number, rows))
        self._snapshot_number = self.last_number
        self._rows_since_snapshot = []

    def _read_entries(self, numbers: range) -> bool:
        """Read and apply the entries with these numbers; False where there are none."""
        entries = read_entries(self.storage, numbers)
        # Numbers are assigned in order: one missing below another was deleted, or created after it was looked for.
        missing = [number for number in numbers if number < max(entries, default=0) and number not in entries]
        entries.update(read_entries(self.storage, missing))
        for rows in read_entry_rows(self.storage, entries):
            self._add_rows(rows)
        self.last_number = max(entries, default=self.last_number)
        return bool(entries)

    def _add_rows(self, rows: pa.Table) -> None:
        self._replay(rows)
        self._rows_since_snapshot.append(rows)

    def _replay(self, rows: pa.Table) -> None:
        """Apply entries; the rows of an entry are consecutive."""
        changed = np.flatnonzero(np.diff(rows["number"].to_numpy(), prepend=-1))
        headers = rows.select(["number", "registration", "partition", "added"]).take(pa.array(changed)).to_pylist()
        columns, starts = [rows[name].to_pylist() for name in ("uri", "video_id", "size_bytes")], changed.tolist()
        for header, start, end in zip(headers, starts, [*starts, len(rows)][1:], strict=True):
            listed = zip(*(values[start:end] for values in columns), strict=True)
            # A process that did not know yet that a source was forgotten may have registered it.
            sources = [each for each in listed if each[0] is None or not self.is_forgotten(each[0])]
            self._apply(header, sources)

    def _apply(self, header: Mapping[str, Any], sources: list[tuple[str | None, str | None, int | None]]) -> None:
        """Apply one entry with uri, id and size of its videos.

        The id of a video is null for a forgotten source, and where a partition has no source.
        """
        partition = header["partition"]
        video_ids = [video_id for _, video_id, _ in sources if video_id is not None]
        if partition is None:
            affected = self._relist_versions(video_ids)
            affected |= self._drop_sources({name for name, video_id, _ in sources if name and video_id is None})
        else:
            files = self.member_files.setdefault(partition, [])
            path = members_path(partition, header["added"])
            if path in files:  # a partition in two entries has the position of the first
                return
            files.append(path)
            affected = self._add_members(partition, [(uri, name, size) for uri, name, size in sources if uri and name])
        self._entries.append(
            RegisterEntry(header["number"], partition, header["registration"], tuple(sorted(affected)))
        )

    def _relist_versions(self, video_ids: list[str]) -> set[str]:
        """Make these versions the newest again; return the partitions that hold a version of their sources."""
        affected: set[str] = set()
        for video_id in video_ids:
            if video_id not in self.partition_by_video_id:
                continue
            self.relistings[video_id] = self.relistings.get(video_id, 0) + 1
            uri = self._uri_by_video_id.get(video_id)
            if uri is not None:
                self.newest_version[uri] = video_id
            affected |= self._partitions_with(self._versions_by_uri.get(uri or "", (video_id,)))
        return affected

    def _partitions_with(self, video_ids: Iterable[str]) -> set[str]:
        """Partitions that hold one of these videos, or a possible copy of one."""
        names = {each for name in video_ids for each in (name, *self.sizes.possible_copies(name))}
        return {self.partition_by_video_id[name] for name in names}

    def _drop_sources(self, uri_digests: set[str]) -> set[str]:
        """Drop all versions of forgotten sources; return the partitions that held one."""
        if not uri_digests:
            return set()
        self._forgotten |= uri_digests
        versions: list[str] = []
        for uri in [uri for uri in self.newest_version if digest(uri) in uri_digests]:
            newest = self.newest_version.pop(uri)
            versions += self._versions_by_uri.pop(uri, [newest])
        for video_id in versions:
            self.relistings.pop(video_id, None)
            self._uri_by_video_id.pop(video_id, None)
            self.sizes.drop(video_id)
        return {self.partition_by_video_id.pop(video_id) for video_id in versions}

    def _add_members(self, partition: str, members: list[tuple[str, str, int | None]]) -> set[str]:
        """Add members to a partition.

        Returns the other partitions that hold an earlier version of one, or a possible copy of that.
        """
        affected: set[str] = set()
        for uri, video_id, size_bytes in members:
            earlier = self.newest_version.get(uri)
            self.newest_version[uri] = video_id
            if self.partition_by_video_id.setdefault(video_id, partition) == partition:
                self.sizes.add(video_id, size_bytes or 0)
            if earlier is not None and earlier != video_id:
                versions = self._versions_by_uri.setdefault(uri, [earlier])
                if video_id not in versions:
                    versions.append(video_id)
                self._uri_by_video_id.update(dict.fromkeys(versions, uri))
                affected |= self._partitions_with(versions)
        return affected - {partition}
