"""Runs that are not over: what two of them commit of one partition at the same time, the later one may undo."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from curator_dagster.curation import Curation

STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Busy:
    """What runs work on that are not over.

    Attributes:
        partitions: of those runs.
        run_keys: by which they were asked for.
    """

    partitions: frozenset[str]
    run_keys: frozenset[str]


def busy(curation: Curation, instance: dg.DagsterInstance, known: Sequence[str]) -> Busy:
    """What runs of the curation's assets work on; `known` are all partitions in the order of the instance."""
    assets = {curation.asset_key(params.asset) for params in curation.params.values()}
    place = {key: index for index, key in enumerate(known)}
    partitions: set[str] = set()
    run_keys: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=STATUSES)):
        if run.job_name != curation.job_name and assets.isdisjoint(run.asset_selection or ()):
            continue
        run_keys.add(run.tags.get("dagster/run_key", ""))
        one = run.tags.get("dagster/partition", "")
        first = place.get(run.tags.get("dagster/asset_partition_range_start", one))
        last = place.get(run.tags.get("dagster/asset_partition_range_end", one))
        if first is not None and last is not None:
            partitions.update(known[first : last + 1])
    return Busy(frozenset(partitions), frozenset(run_keys - {""}))
