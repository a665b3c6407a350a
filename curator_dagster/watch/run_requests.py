"""Which runs a look asks for: of what was registered since the last ones, in portions that are always cut alike."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partitions import partition_tags, stretches
from curator_dagster.watch.in_progress import Busy
from curator_dagster.watch.source import SourceBucket
from curator_dagster.watch.windows import Batches
from stages.sources import RegisterEntry

SOURCES_TAG = "curator/sources"
"""On a run that was asked for here: whose sources they are."""


def run_requests(
    curation: Curation, source: SourceBucket, new: Sequence[RegisterEntry], known: Sequence[str], at_work: Busy
) -> tuple[list[dg.RunRequest], int]:
    """Runs for what was registered, and the number of the last entry that they cover; 0 for none.

    What one call registered is cut into runs from its beginning, so that the cuts, and with them the run keys, are the
    same whenever this is asked. A partition that a run works on waits for its end, and what was registered later too.
    """
    requests: list[dg.RunRequest] = []
    after = 0
    taken = set(at_work.partitions)
    there = set(known)  # a root that was used otherwise before may have partitions that are no window of this one
    for entries in _cut(new, source.partitions_per_run):
        if len(requests) >= source.runs_per_tick:
            break
        wanted = {key for entry in entries for key in entry.affected_partitions}
        if not (curation.automated and isinstance(curation.partitioning, Batches)):  # else made by automation
            wanted.update(entry.partition for entry in entries if entry.partition is not None)
        asked = [_request(curation.scoped("sources"), entries, keys) for keys in stretches(known, wanted & there)]
        if not taken.isdisjoint(wanted) and not at_work.run_keys.issuperset(str(each.run_key) for each in asked):
            break
        requests.extend(asked)
        taken |= wanted
        after = entries[-1].number
    return requests, after


def _cut(entries: Sequence[RegisterEntry], size: int) -> Iterator[list[RegisterEntry]]:
    """What one call registered, in portions of so many partitions, those included whose videos were superseded."""
    for _, together in itertools.groupby(entries, key=lambda entry: entry.registration):
        portion: list[RegisterEntry] = []
        keys: set[str] = set()
        for entry in together:
            added = {key for key in (entry.partition, *entry.affected_partitions) if key is not None}
            if portion and len(keys | added) > size:
                yield portion
                portion, keys = [], set()
            portion.append(entry)
            keys |= added
        yield portion


def _request(sources: str, entries: Sequence[RegisterEntry], keys: list[str]) -> dg.RunRequest:
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:10]
    first, last = entries[0], entries[-1]
    return dg.RunRequest(
        run_key=f"{sources}:{first.registration}:{first.number}-{last.number}:{digest}",
        tags={**partition_tags(keys), SOURCES_TAG: sources},
    )
