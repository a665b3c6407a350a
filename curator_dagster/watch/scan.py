"""One scan of a source: registers new videos as partitions and builds run requests for them.

The register under the root is the source of truth. A scan may be repeated, interrupted anywhere, or begin with a lost
cursor: known videos stay in their partition, keys that the instance lacks are added again, and a repeated request has
the same run key.
"""

import threading
import time
from dataclasses import dataclass

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.invented_partitions import find_invented_partitions, removal_line
from curator_dagster.partitioning import TimeWindowPartitioning
from curator_dagster.resources import Storage
from curator_dagster.runs_in_progress import runs_in_progress
from curator_dagster.watch.complete_partitions import CompletePartitions
from curator_dagster.watch.cursor import SourceCursor
from curator_dagster.watch.existing_tables import existing_materializations
from curator_dagster.watch.new_sources import NewSources, list_new_sources, register_new_sources
from curator_dagster.watch.run_requests import RunRequests, build_run_requests
from curator_dagster.watch.source import SourceBucket
from stages.sources import PartitionContents, Register, read_contents

_MAX_DESCRIBED = 100
"""Partitions that a scan describes, at most: Dagster takes up to 60 ms for an event, and gives a tick 60 s."""

_MIN_REQUEST_S = 5.0
"""A scan has at least so long for its run requests, however long it listed and registered."""


@dataclass(frozen=True)
class ScanResult:
    """Result of one scan of a source.

    Attributes:
        new_partitions: keys that the instance lacks, in the order of registration.
        described: contents of partitions that are new to the instance or have new members, and are not made yet.
        existing: materializations of partitions that are up to date and of which the instance knows none.
        requests: run requests.
        cursor: for the next scan.
        invented_partitions: keys of the instance that a person typed and that no scan has made.
        is_complete: the listing is complete, and every source that has stopped changing is registered.
        scan_summary: what was listed and registered, in a sentence.
        request_summary: how many runs are requested, in a sentence.
    """

    new_partitions: list[str]
    described: list[PartitionContents]
    existing: list[dg.AssetMaterialization]
    requests: list[dg.RunRequest]
    cursor: SourceCursor
    invented_partitions: list[str]
    is_complete: bool
    scan_summary: str
    request_summary: str


def scan_source(
    curation: Curation,
    storage: Storage,
    source: SourceBucket,
    instance: dg.DagsterInstance,
    cursor: SourceCursor,
    *,
    is_preview: bool = False,
) -> ScanResult:
    """List the source, register new videos that have stopped changing, and build run requests for them.

    Args:
        curation: the curation.
        storage: of its root.
        source: what is scanned.
        instance: knows the partitions and the runs.
        cursor: of the scan before.
        is_preview: write nothing to the root. New videos are counted and not registered, so that no run is requested
            for them.

    Raises:
        ParamsError: the source does not exist.
        StorageError: a store does not answer.
    """
    with _SCAN_LOCK:
        return _scan(curation, storage, source, instance, cursor, is_preview)


def _scan(
    curation: Curation,
    storage: Storage,
    source: SourceBucket,
    instance: dg.DagsterInstance,
    cursor: SourceCursor,
    is_preview: bool,
) -> ScanResult:
    ends_at = time.monotonic() + source.tick_s
    has_time_windows = isinstance(curation.partitioning, TimeWindowPartitioning)
    register = _refreshed_register(storage)
    last_entry = register.last_number
    found = list_new_sources(curation, source, register, cursor)
    unregistered = found.ready if is_preview else register_new_sources(curation, register, found.ready, ends_at)
    known = curation.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    known_keys = set(known)
    missing = [] if has_time_windows else [key for key in register.member_files if key not in known_keys]
    last_requested = _last_requested(register, cursor)
    entries = register.entries_after(last_requested)
    keys = [*known, *missing]
    in_progress = runs_in_progress(curation, instance, keys)
    until = max(ends_at, time.monotonic() + _MIN_REQUEST_S)
    runs = build_run_requests(curation, source, entries, keys, in_progress, CompletePartitions(register), until)
    typed = [] if has_time_windows else [key for key in known if key not in in_progress.partitions]
    invented = find_invented_partitions(curation, instance, typed, register.member_files)
    position = cursor.position if unregistered else found.position
    requested = runs.last_entry or last_requested
    existing = existing_materializations(curation, storage, instance, runs.complete)
    changed = [entry.partition for entry in register.entries_after(last_entry) if entry.partition]
    described = read_contents(register, _not_complete([*missing, *changed], runs)[:_MAX_DESCRIBED])
    next_cursor = SourceCursor(position, found.seen, requested, _registration(register, requested))
    return ScanResult(
        new_partitions=missing,
        described=described,
        existing=existing,
        requests=runs.requests,
        cursor=cursor if is_preview else next_cursor,
        invented_partitions=invented,
        is_complete=not unregistered and not position,
        scan_summary=_scan_summary(found, len(unregistered), is_preview=is_preview),
        request_summary=_request_summary(runs, invented, are_all_waiting=bool(entries) and not runs.last_entry),
    )


def _last_requested(register: Register, cursor: SourceCursor) -> int:
    """The last entry that is dealt with; 0 in another root than the cursor's, or one made anew, which had no runs."""
    is_of_this_root = cursor.registration and cursor.registration == _registration(register, cursor.requested)
    return cursor.requested if is_of_this_root else 0


def _scan_summary(found: NewSources, num_unregistered: int, *, is_preview: bool) -> str:
    if is_preview:
        return f"{found.summary} {len(found.ready)} to register, none of it in this preview."
    return f"{found.summary} {len(found.ready) - num_unregistered} registered."


def _request_summary(runs: RunRequests, invented: list[str], *, are_all_waiting: bool) -> str:
    sentences = [f"{len(runs.requests)} runs asked for."]
    if are_all_waiting:
        sentences.append("The next wait for a run that works on the same partitions.")
    if runs.complete:
        sentences.append(f"{len(runs.complete)} partitions are made already.")
    if invented:
        sentences.append(removal_line(invented))
    return " ".join(sentences)


def _not_complete(partitions: list[str], runs: RunRequests) -> list[str]:
    """The partitions that no run has made yet, each once."""
    complete = set(runs.complete)
    return [key for key in dict.fromkeys(partitions) if key not in complete]


def _registration(register: Register, number: int) -> str:
    """Registration id of the entry with this number; empty where there is none."""
    return next((each.registration for each in register.entries_after(number - 1)[:1] if each.number == number), "")


_REGISTERS_BY_ROOT: dict[str, Register] = {}
"""A register is read whole once a process, and only its new entries after that."""

_SCAN_LOCK = threading.Lock()
"""A sensor and a schedule may scan at the same time, in two threads."""


def _refreshed_register(storage: Storage) -> Register:
    files = storage.open()
    register = _REGISTERS_BY_ROOT.get(files.root)
    if register is None:
        register = _REGISTERS_BY_ROOT[files.root] = Register(files)
    else:
        register.refresh()
    return register
