"""New videos of a source: listed, told from those that may still be written, and given partitions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from curator_dagster.curation import Curation
from curator_dagster.watch.cursor import Cursor
from curator_dagster.watch.source import SourceBucket
from curator_dagster.watch.windows import Windows
from stages.params import ReadParams
from stages.sources import Register, Source, list_source_pages, register_batches, register_time_windows, settle

_GROUPS_AT_ONCE = 200
"""Partitions' worth of new videos after which a look stops listing and registers them."""


@dataclass(frozen=True)
class NewSources:
    """What a listing found.

    Attributes:
        ready: that are to be registered.
        seen: see `Cursor.seen`.
        position: of the listing; empty where it is over.
        summary: for a person.
    """

    ready: list[Source]
    seen: dict[str, float]
    position: str
    summary: str


def list_new(curation: Curation, source: SourceBucket, register: Register, cursor: Cursor) -> NewSources:
    """New videos from where the last look ended, for half of the time of this one or until there is enough to do."""
    read: ReadParams = curation.params["read"]  # type: ignore[assignment]
    enough = _GROUPS_AT_ONCE * read.partition_size
    stops_at = time.monotonic() + source.tick_s / 2
    new: list[Source] = []
    files, videos, elsewhere, position = 0, 0, 0, ""
    for page in list_source_pages(source.location, read, after=cursor.position, excluded_folder=register.storage.root):
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
    settled = settle(new, now=now, settle_s=source.settle_s, first_seen=cursor.seen)
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
        return NewSources([], settled.first_seen, position, f"{summary}.")
    return NewSources(settled.ready, settled.first_seen, position, f"{summary}.")


def _is_worth_it(ready: Sequence[Source], read: ReadParams, source: SourceBucket, now: float) -> bool:
    """They fill a partition, or one of them has waited long enough for others, or will not be seen to."""
    is_full = len(ready) >= read.partition_size or (
        read.partition_by == "bytes" and sum(each.size_bytes for each in ready) >= read.partition_gb * 1e9
    )
    return is_full or any(
        each.modified is None or each.modified > now or now - each.modified >= source.fill_wait_s for each in ready
    )


def register_new(curation: Curation, register: Register, ready: list[Source], ends_at: float) -> list[Source]:
    """Give them partitions; those are returned for which the time was too short."""
    read: ReadParams = curation.params["read"]  # type: ignore[assignment]
    partitioning = curation.partitioning
    if not isinstance(partitioning, Windows):
        return register_batches(register, ready, read, deadline=ends_at)
    windows: dict[str, list[Source]] = {}
    for each in ready:
        key = partitioning.closed_window_of(each.path)
        if key is not None:
            windows.setdefault(key, []).append(each)
    return register_time_windows(register, windows, deadline=ends_at)
