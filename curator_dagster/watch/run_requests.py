"""Builds the run requests for newly registered partitions, with run keys that do not depend on the scan."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partition_keys import partition_ranges, partition_tags
from curator_dagster.partitioning import BatchPartitioning
from curator_dagster.runs_in_progress import RunsInProgress
from curator_dagster.watch.source import SourceBucket
from stages.sources import RegisterEntry

SOURCES_TAG = "curator/sources"
"""Tag of the runs that are requested here: the name of the curation's dynamic partitions."""


def build_run_requests(
    curation: Curation,
    source: SourceBucket,
    new: Sequence[RegisterEntry],
    known: Sequence[str],
    in_progress: RunsInProgress,
) -> tuple[list[dg.RunRequest], int]:
    """Run requests for new entries of the register, and the number of the last entry that they cover; 0 for none.

    The entries of one registration are divided into runs from its beginning, so that the runs, and with them the run
    keys, are always the same. Where a run in progress has one of the partitions, it and all later entries wait.
    """
    requests: list[dg.RunRequest] = []
    after = 0
    busy_partitions = set(in_progress.partitions)
    known_keys = set(known)  # a root that was partitioned otherwise before may have other keys
    for entries in _entries_per_run(new, source.partitions_per_run):
        if len(requests) >= source.runs_per_tick:
            break
        wanted = {key for entry in entries for key in entry.affected_partitions}
        if not (
            curation.automated and isinstance(curation.partitioning, BatchPartitioning)
        ):  # else automation conditions request them
            wanted.update(entry.partition for entry in entries if entry.partition is not None)
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
        after = entries[-1].number
    return requests, after


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
