"""Builds the run requests for newly registered partitions, with run keys that do not depend on the scan."""

import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partition_keys import partition_ranges, partition_tags
from curator_dagster.partitioning import BatchPartitioning
from curator_dagster.runs_in_progress import RunsInProgress
from curator_dagster.watch.complete_partitions import CompletePartitions
from curator_dagster.watch.source import SourceBucket
from stages.sources import RegisterEntry

SOURCES_TAG = "curator/sources"
"""Tag of the runs that are requested here: the name of the curation's dynamic partitions."""


_MAX_COMPLETE = 200
"""A scan deals with so many complete partitions, or a few more: of each it may report seven tables to Dagster."""


@dataclass(frozen=True)
class RunRequests:
    """The run requests of one scan.

    Attributes:
        requests: for partitions whose sources are new or changed.
        last_entry: number of the last entry of the register that is dealt with; 0 for none.
        complete: partitions of these entries that need no run.
    """

    requests: list[dg.RunRequest]
    last_entry: int
    complete: list[str]


def build_run_requests(
    curation: Curation,
    source: SourceBucket,
    new: Sequence[RegisterEntry],
    known: Sequence[str],
    in_progress: RunsInProgress,
    complete: CompletePartitions,
    ends_at: float,
) -> RunRequests:
    """Run requests for new entries of the register, as many as one scan makes until a time of the monotonic clock.

    The entries of one registration are divided into runs from its beginning, so that the runs, and with them the run
    keys, are always the same. Where a run in progress has one of the partitions, it and all later entries wait.
    Complete partitions are left out.
    """
    requests: list[dg.RunRequest] = []
    is_automated = curation.automated and isinstance(curation.partitioning, BatchPartitioning)
    last_entry = 0
    complete_keys: list[str] = []
    busy_partitions = set(in_progress.partitions)
    known_keys = set(known)  # a root that was partitioned otherwise before may have other keys
    for entries in _entries_per_run(new, source.partitions_per_run):
        is_full = len(requests) >= source.runs_per_tick or len(complete_keys) >= _MAX_COMPLETE
        if is_full or time.monotonic() > ends_at:
            break
        wanted = {key for entry in entries for key in entry.affected_partitions}
        registered = {entry.partition for entry in entries if entry.partition is not None}
        complete_here = complete.among(wanted | registered)
        if not is_automated:  # else automation conditions request them
            wanted |= registered
        wanted -= complete_here
        candidates = [
            _run_request(curation.scoped("sources"), entries, keys)
            for keys in partition_ranges(known, wanted & known_keys)
        ]
        if not busy_partitions.isdisjoint(wanted) and not in_progress.run_keys.issuperset(
            str(each.run_key) for each in candidates
        ):
            break
        requests.extend(candidates)
        busy_partitions |= wanted
        last_entry = entries[-1].number
        complete_keys.extend(sorted(complete_here & known_keys))
    return RunRequests(requests, last_entry, complete_keys)


def _entries_per_run(entries: Sequence[RegisterEntry], size: int) -> Iterator[list[RegisterEntry]]:
    """Entries of each registration in groups of at most so many partitions, superseded ones included."""
    for _, entries_of_registration in itertools.groupby(entries, key=lambda entry: entry.registration):
        entries_of_run: list[RegisterEntry] = []
        keys: set[str] = set()
        for entry in entries_of_registration:
            added = {key for key in (entry.partition, *entry.affected_partitions) if key is not None}
            if entries_of_run and len(keys | added) > size:
                yield entries_of_run
                entries_of_run, keys = [], set()
            entries_of_run.append(entry)
            keys |= added
        yield entries_of_run


def _run_request(sources: str, entries: Sequence[RegisterEntry], keys: list[str]) -> dg.RunRequest:
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:10]
    first, last = entries[0], entries[-1]
    return dg.RunRequest(
        run_key=f"{sources}:{first.registration}:{first.number}-{last.number}:{digest}",
        tags={**partition_tags(keys), SOURCES_TAG: sources},
    )
