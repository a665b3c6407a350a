"""The register: which partition holds which source, and which version of a source was listed last.

A number of the log is taken by who has read all entries before it, so that no two partitions get one video. Where a
store lets two have it all the same, the one registered first holds it.
"""

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.sources.listing import Source
from stages.sources.members import members_path, read_members_file
from stages.sources.register_log import entry_path, entry_rows, list_log, read_entries, read_entry_rows
from stages.sources.snapshot import Snapshot, newest_snapshot, write_snapshot
from stages.storage import READERS, Storage, read_at_once

SNAPSHOT_ENTRIES = 128
"""Entries that come to the log until a snapshot is written: each is two small files to read."""

_MOST_AHEAD = 4_096
"""Numbers that are looked for at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log.

    Attributes:
        number: its place.
        partition: that it registered, or added members to; None where it relisted older versions.
        registration: common to all entries of one call.
        touched: other partitions, which hold another version of its sources; where it relisted some, all that hold a
            version of them.
    """

    number: int
    partition: str | None
    registration: str
    touched: tuple[str, ...]


class Register:
    """The log of registrations, each entry read once. A process may keep one and `refresh` it, in one thread.

    Attributes:
        storage: the root.
        last: number of the last entry that was followed; 0 without one.
        members: paths of the members files by partition, in the order of registration.
        holder: partition by video id: the one registered first.
        newest: by uri, the video id of the version that was listed last.
        relistings: by video id, how often the version became the newest again.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._read()

    def _read(self) -> None:
        self.last = 0
        self.members: dict[str, list[str]] = {}
        self.holder: dict[str, str] = {}
        self.newest: dict[str, str] = {}
        self.relistings: dict[str, int] = {}
        self._entries: list[Entry] = []
        self._versions: dict[str, list[str]] = {}
        self._uris: dict[str, str] = {}
        self._recent: list[pa.Table] = []
        listing = list_log(self.storage)
        snapshot = newest_snapshot(self.storage, listing)
        self._replay(snapshot.rows)
        self._saved = self.last = snapshot.number
        # Numbers that the listing missed, since they were taken meanwhile, are among them.
        self._follow(range(self.last + 1, max(listing.tags, default=0) + 1))

    def refresh(self) -> None:
        """Follow what was appended since. A root that was made anew meanwhile is read from its beginning."""
        if self._entries and not self._has_last():
            self._read()
        ahead = READERS
        while self._follow(range(self.last + 1, self.last + 1 + ahead)):
            ahead = min(8 * ahead, _MOST_AHEAD)

    def _has_last(self) -> bool:
        """The last entry that was followed is still there, and the same."""
        last = self._entries[-1]
        there = read_entries(self.storage, [last.number]).get(last.number, {})
        return bool(there) and there.get("registration", str(last.number)) == last.registration

    def entries_after(self, number: int) -> list[Entry]:
        """Entries with a higher number, in their order."""
        return self._entries[bisect_right(self._entries, number, key=lambda entry: entry.number) :]

    def unregistered(self, sources: Iterable[Source]) -> list[Source]:
        """Those that are new, or an older version that is there again: what registering them would change."""
        return [source for source in sources if self.newest.get(source.uri) != source.video_id]

    def read_members(self, partition: str) -> pa.Table:
        """The source videos of one partition as they were written, with the columns of `PARTITION_SCHEMA`.

        Raises:
            ManifestError: there is no such partition, or a file of it is missing or damaged.
        """
        if partition not in self.members:
            raise ManifestError(
                f"Partition must be registered under {self.storage.root}/partitions, got {partition!r}. "
                "Run `curator run SOURCE --root ROOT`, or turn on the sensor, to register one."
            )
        return pa.concat_tables(read_at_once(partial(read_members_file, self.storage), self.members[partition]))

    def held_members(self, partition: str) -> pa.Table:
        """`read_members` without the videos that a partition registered earlier holds, each video once.

        Raises:
            ManifestError: there is no such partition, or a file of it is missing or damaged.
        """
        table = self.read_members(partition)
        places = {video_id: place for place, video_id in reversed(list(enumerate(table["video_id"].to_pylist())))}
        held = [place for name, place in places.items() if self.holder.get(name, partition) == partition]
        return table.take(pa.array(sorted(held), pa.int64()))

    def superseded(self) -> dict[str, set[str]]:
        """By partition, the video ids that it holds and whose uri was listed later with other content."""
        replaced: dict[str, set[str]] = {}
        for uri, versions in self._versions.items():
            for video_id in versions:
                if self.newest[uri] != video_id:
                    replaced.setdefault(self.holder[video_id], set()).add(video_id)
        return replaced

    def partitions_of(self, uris: Collection[str]) -> list[str]:
        """Partitions that hold any version of these sources, in the order of registration."""
        known = [uri for uri in uris if uri in self.newest]
        holding = {self.holder[name] for uri in known for name in self._versions.get(uri, (self.newest[uri],))}
        return [partition for partition in self.members if partition in holding]

    def append(self, entry: Mapping[str, Any], members: pa.Table | None = None) -> bool:
        """Make the entry the next of the log; False where somebody else's became that, which is then followed.

        Args:
            entry: as it stands in the log.
            members: what it registers, which is there already; without them an entry that relists.
        """
        number = self.last + 1
        if not self.storage.create_bytes(entry_path(number), json.dumps(entry).encode()):
            self.refresh()
            return False
        self._take(entry_rows(number, entry, members))
        self.last = number
        return True

    def save_snapshot(self) -> None:
        """A snapshot is written, where enough entries came since the last."""
        if self.last - self._saved < SNAPSHOT_ENTRIES:
            return
        listing = list_log(self.storage)
        base = newest_snapshot(self.storage, listing)
        if base.number < self._saved:  # what this one began with was deleted
            Register(self.storage).save_snapshot()
        elif base.number < self.last:
            recent = pa.concat_tables(self._recent).filter(pc.field("number") > base.number)
            rows = pa.concat_tables([base.rows, recent])
            write_snapshot(self.storage, listing, Snapshot(self.last, rows))
        self._saved = self.last
        self._recent = []

    def _follow(self, numbers: range) -> bool:
        """Take in what stands under these numbers; False where nothing does."""
        entries = read_entries(self.storage, numbers)
        # Numbers are taken in order: what is missing below another was deleted, or taken after it was looked for.
        missed = [number for number in numbers if number < max(entries, default=0) and number not in entries]
        entries.update(read_entries(self.storage, missed))
        for rows in read_entry_rows(self.storage, entries):
            self._take(rows)
        self.last = max(entries, default=self.last)
        return bool(entries)

    def _take(self, rows: pa.Table) -> None:
        self._replay(rows)
        self._recent.append(rows)

    def _replay(self, rows: pa.Table) -> None:
        """Take in entries, whose rows stand together."""
        changed = np.flatnonzero(np.diff(rows["number"].to_numpy(), prepend=-1))
        heads = rows.select(["number", "registration", "partition", "added"]).take(pa.array(changed)).to_pylist()
        uris, video_ids, starts = rows["uri"].to_pylist(), rows["video_id"].to_pylist(), changed.tolist()
        for head, start, end in zip(heads, starts, [*starts, len(rows)][1:], strict=True):
            registers = video_ids[start] is not None  # a partition may be registered without a source
            self._apply(head, uris[start:end] if registers else [], video_ids[start:end] if registers else [])

    def _apply(self, head: Mapping[str, Any], uris: list[str], video_ids: list[str]) -> None:
        partition = head["partition"]
        if partition is None:
            touched = self._relist(video_ids)
        else:
            files = self.members.setdefault(partition, [])
            path = members_path(partition, head["added"])
            if path in files:  # what stands twice in the log has the place of its first entry
                return
            files.append(path)
            touched = self._add(partition, uris, video_ids)
        self._entries.append(Entry(head["number"], partition, head["registration"], tuple(sorted(touched))))

    def _relist(self, video_ids: list[str]) -> set[str]:
        """These versions are the newest again; returns the partitions that hold a version of their sources."""
        touched: set[str] = set()
        for video_id in video_ids:
            if video_id not in self.holder:
                continue
            self.relistings[video_id] = self.relistings.get(video_id, 0) + 1
            uri = self._uris.get(video_id)
            if uri is not None:
                self.newest[uri] = video_id
            touched.update(self.holder[name] for name in self._versions.get(uri or "", (video_id,)))
        return touched

    def _add(self, partition: str, uris: list[str], video_ids: list[str]) -> set[str]:
        """The partition has these members; returns the others that hold an earlier version of one."""
        touched: set[str] = set()
        for uri, video_id in zip(uris, video_ids, strict=True):
            earlier = self.newest.get(uri)
            self.newest[uri] = video_id
            self.holder.setdefault(video_id, partition)
            if earlier is not None and earlier != video_id:
                versions = self._versions.setdefault(uri, [earlier])
                if video_id not in versions:
                    versions.append(video_id)
                self._uris.update(dict.fromkeys(versions, uri))
                touched.update(self.holder[name] for name in versions)
        return touched - {partition}
