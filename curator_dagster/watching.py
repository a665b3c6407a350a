"""One look at a bucket: what is new becomes partitions, and partitions that no run was asked for get one.

What is true stands under the root: the register of partitions. A look may be repeated, cut off anywhere, or begin with
a lost cursor: known videos stay in their partition, keys that the instance lacks are added again, and a request that
was made has the same run key.
"""

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from curator_dagster.curation import Curation
from curator_dagster.partitions import partition_tags, stretches
from curator_dagster.resources import Storage
from curator_dagster.source import SourceBucket
from curator_dagster.windows import Batches, Windows
from stages.params import ReadParams
from stages.sources import Entry, Register, Source, list_pages, register_batches, register_windows, settle

SOURCES_TAG = "curator/sources"
"""On a run that was asked for here: whose sources they are."""

_GROUPS_AT_ONCE = 200
"""Partitions' worth of new videos after which a look stops listing and registers them."""


@dataclass(frozen=True)
class Cursor:
    """Where the last look ended.

    Attributes:
        position: of the listing, which is longer than a look; empty at its beginning.
        seen: by video id, since when a video is known whose store does not say when it changed.
        requested: number of the newest registration that a run was asked for.
        registration: how that one is marked; another root has another one under the number.
    """

    position: str = ""
    seen: dict[str, float] = field(default_factory=lambda: {})
    requested: int = 0
    registration: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """From what `text` wrote; a lost or foreign one begins anew, which does nothing twice."""
        try:
            return _CURSOR.validate_json(text or "{}")
        except ValidationError:
            return cls()

    def text(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(asdict(self))


_CURSOR = TypeAdapter(Cursor)


@dataclass(frozen=True)
class Look:
    """What one look at the bucket found.

    Attributes:
        new_partitions: keys that the instance lacks, in the order of registration.
        requests: runs to ask for.
        cursor: where the next look begins.
        is_over: everything was listed, and registered where it has stopped changing.
        summary: for a person, in one line.
    """

    new_partitions: list[str]
    requests: list[dg.RunRequest]
    cursor: Cursor
    is_over: bool
    summary: str


def look(
    curation: Curation, storage: Storage, source: SourceBucket, instance: dg.DagsterInstance, cursor: Cursor
) -> Look:
    """List what is there, register what is new and has stopped changing, and say which runs that calls for.

    Raises:
        ParamsError: there is no such place.
        StorageError: a store does not answer.
    """
    with _ONE_AT_A_TIME:
        return _look(curation, storage, source, instance, cursor)


def _look(
    curation: Curation, storage: Storage, source: SourceBucket, instance: dg.DagsterInstance, cursor: Cursor
) -> Look:
    ends_at = time.monotonic() + source.tick_s
    is_by_time = isinstance(curation.partitioning, Windows)
    register = _register_of(storage)
    found = _list(curation, storage, source, register, cursor)
    left = _register_new(curation, register, found.ready, ends_at)
    known = curation.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    there = set(known)
    missing = [] if is_by_time else [key for key in register.members if key not in there]
    # A root that is another one, or was made anew, has had no runs.
    is_of_this = cursor.registration and cursor.registration == _registration(register, cursor.requested)
    after = cursor.requested if is_of_this else 0
    requests, requested = _requests(curation, source, register, [*known, *missing], after)
    position = cursor.position if left else found.position
    summary = f"{found.summary} {len(found.ready) - len(left)} registered, {len(requests)} runs asked for."
    ended = Cursor(position, found.seen, requested, _registration(register, requested))
    return Look(missing, requests, ended, not left and not position, summary)


def _registration(register: Register, number: int) -> str:
    """How the entry with this number is marked; empty where there is none."""
    return next((each.registration for each in register.entries_after(number - 1)[:1] if each.number == number), "")


_REGISTERS: dict[str, Register] = {}
"""By root: a register is read whole once a process, and followed from there."""

_ONE_AT_A_TIME = threading.Lock()
"""A sensor and a schedule may look at the same moment, in two threads."""


def _register_of(storage: Storage) -> Register:
    files = storage.open()
    register = _REGISTERS.get(files.root)
    if register is None:
        register = _REGISTERS[files.root] = Register(files)
    else:
        register.refresh()
    return register


@dataclass(frozen=True)
class _Found:
    ready: list[Source]
    seen: dict[str, float]
    position: str
    summary: str


def _list(curation: Curation, storage: Storage, source: SourceBucket, register: Register, cursor: Cursor) -> _Found:
    """New videos from where the last look ended, for half of the time of this one or until there is enough to do."""
    read: ReadParams = curation.params["read"]  # type: ignore[assignment]
    enough = _GROUPS_AT_ONCE * read.partition_size
    stops_at = time.monotonic() + source.tick_s / 2
    new: list[Source] = []
    files, videos, elsewhere, position = 0, 0, 0, ""
    for page in list_pages(source.location, read, after=cursor.position, outside=storage.root):
        files += page.num_files
        videos += len(page.sources)
        unregistered = register.unregistered(page.sources)
        taken = [each for each in unregistered if curation.partitioning.takes(each.path)]
        new.extend(taken)
        elsewhere += len(unregistered) - len(taken)
        if time.monotonic() > stops_at or len(new) >= enough:
            position = page.position
            break
    now = time.time()
    settled = settle(new, now=now, settle_s=source.settle_s, seen=cursor.seen)
    summary = f"{files} files listed{', more to list' if position else ''}"
    if others := files - videos:
        summary += f", {others} left out (read.include, exclude, limit)"
    if elsewhere:
        summary += f", {elsewhere} whose path names no window that is over"
    summary += f"; {len(new)} new"
    if changing := len(new) - len(settled.ready):
        summary += f", of which {changing} may still be written (settle_s={source.settle_s:g})"
    if settled.ready and not position and not _is_worth_it(settled.ready, read, source, now):
        summary += f", {len(settled.ready)} wait to fill a partition (fill_wait_s={source.fill_wait_s:g})"
        return _Found([], settled.seen, position, f"{summary}.")
    return _Found(settled.ready, settled.seen, position, f"{summary}.")


def _is_worth_it(ready: Sequence[Source], read: ReadParams, source: SourceBucket, now: float) -> bool:
    """They fill a partition, or one of them has waited long enough for others, or will not be seen to."""
    is_full = len(ready) >= read.partition_size or (
        read.partition_by == "bytes" and sum(each.size_bytes for each in ready) >= read.partition_gb * 1e9
    )
    return is_full or any(
        each.modified is None or each.modified > now or now - each.modified >= source.fill_wait_s for each in ready
    )


def _register_new(curation: Curation, register: Register, ready: list[Source], ends_at: float) -> list[Source]:
    """Give them partitions; those are returned for which the time was too short."""
    read: ReadParams = curation.params["read"]  # type: ignore[assignment]
    partitioning = curation.partitioning
    if not isinstance(partitioning, Windows):
        return register_batches(register, ready, read, until=ends_at)
    windows: dict[str, list[Source]] = {}
    for each in ready:
        key = partitioning.closed_window_of(each.path)
        if key is not None:
            windows.setdefault(key, []).append(each)
    return register_windows(register, windows, until=ends_at)


def _requests(
    curation: Curation, source: SourceBucket, register: Register, known: Sequence[str], after: int
) -> tuple[list[dg.RunRequest], int]:
    """Runs for what was registered after an entry, and the number of the last entry that they cover.

    What one call registered is cut into runs from its beginning, so that the cuts, and with them the run keys, are the
    same whenever this is asked.
    """
    requests: list[dg.RunRequest] = []
    there = set(known)  # a root that was used otherwise before may have partitions that are no window of this one
    for entries in _cut(register.entries_after(after), source.partitions_per_run):
        if len(requests) >= source.runs_per_tick:
            break
        wanted = {key for entry in entries for key in entry.touched}
        if not (curation.automated and isinstance(curation.partitioning, Batches)):  # else made by automation
            wanted.update(entry.partition for entry in entries if entry.partition is not None)
        for keys in stretches(known, wanted & there):
            requests.append(_request(curation.scoped("sources"), entries, keys))
        after = entries[-1].number
    return requests, after


def _cut(entries: Sequence[Entry], size: int) -> Iterator[list[Entry]]:
    for _, together in itertools.groupby(entries, key=lambda entry: entry.registration):
        group = list(together)
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _request(sources: str, entries: Sequence[Entry], keys: list[str]) -> dg.RunRequest:
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:10]
    first, last = entries[0], entries[-1]
    return dg.RunRequest(
        run_key=f"{sources}:{first.registration}:{first.number}-{last.number}:{digest}",
        tags={**partition_tags(keys), SOURCES_TAG: sources},
    )
