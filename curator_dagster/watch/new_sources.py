"""Lists the new videos of a source, without those that may still be written, and registers them in partitions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from curator_dagster.curation import Curation
from curator_dagster.partitioning import TimeWindowPartitioning
from curator_dagster.printable_text import printable
from curator_dagster.watch.cursor import SourceCursor
from curator_dagster.watch.source import SourceBucket
from stages.params import ReadParams
from stages.sources import Register, Source, list_source_pages, register_batches, register_time_windows, settle

_MAX_PARTITIONS_PER_SCAN = 200
"""A scan stops listing once it has new videos for so many partitions."""


@dataclass(frozen=True)
class NewSources:
    """New sources of one scan.

    Attributes:
        ready: sources to register.
        seen: as `SourceCursor.seen`.
        position: where the next scan continues the listing; empty where it is complete.
        summary: the listing in a sentence.
    """

    ready: list[Source]
    seen: dict[str, float]
    position: str
    summary: str


def list_new_sources(curation: Curation, source: SourceBucket, register: Register, cursor: SourceCursor) -> NewSources:
    """List new videos from the cursor on, for half of the scan's time or until there are enough."""
    read = curation.read_params
    max_new = _MAX_PARTITIONS_PER_SCAN * read.partition_size
    stops_at = time.monotonic() + source.tick_s / 2
    new: list[Source] = []
    files, videos, outside_windows, position = 0, 0, 0, ""
    for page in list_source_pages(source.location, read, after=cursor.position, excluded_folder=register.storage.root):
        files += page.num_files
        videos += len(page.sources)
        unregistered = register.unregistered(page.sources)
        accepted = [each for each in unregistered if curation.partitioning.accepts(each.path)]
        new.extend(accepted)
        outside_windows += len(unregistered) - len(accepted)
        if time.monotonic() > stops_at or len(new) >= max_new:
            position = page.position
            break
    now = time.time()
    settled = settle(new, now=now, settle_s=source.settle_s, first_seen=cursor.seen)
    summary = f"{files} files listed in {printable(source.location)}{', more to list' if position else ''}"
    if others := files - videos:
        summary += f", {others} left out (read.include, exclude, limit)"
    if outside_windows:
        summary += f", {outside_windows} whose path names no window that is over"
    summary += f"; {len(new)} new"
    if changing := len(new) - len(settled.ready):
        summary += f", of which {changing} may still be written (settle_s={source.settle_s:g})"
    if settled.ready and not position and not _should_register(settled.ready, read, source, now):
        summary += f", {len(settled.ready)} wait to fill a partition (fill_wait_s={source.fill_wait_s:g})"
        return NewSources([], settled.first_seen, position, f"{summary}.")
    return NewSources(settled.ready, settled.first_seen, position, f"{summary}.")


def _should_register(ready: Sequence[Source], read: ReadParams, source: SourceBucket, now: float) -> bool:
    """True where they fill a partition, or one is older than `fill_wait_s`, or has no usable time."""
    is_full = len(ready) >= read.partition_size or (
        read.partition_by == "bytes" and sum(each.size_bytes for each in ready) >= read.partition_gb * 1e9
    )
    return is_full or any(
        each.modified is None or each.modified > now or now - each.modified >= source.fill_wait_s for each in ready
    )


def register_new_sources(curation: Curation, register: Register, ready: list[Source], ends_at: float) -> list[Source]:
    """Register sources in partitions; returns those that were left when the time was over."""
    read = curation.read_params
    partitioning = curation.partitioning
    if not isinstance(partitioning, TimeWindowPartitioning):
        return register_batches(register, ready, read, deadline=ends_at)
    windows: dict[str, list[Source]] = {}
    for each in ready:
        key = partitioning.closed_window_key(each.path)
        if key is not None:
            windows.setdefault(key, []).append(each)
    return register_time_windows(register, windows, deadline=ends_at)
