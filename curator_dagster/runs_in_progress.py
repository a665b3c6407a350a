"""Runs in progress and their partitions.

Of two runs that commit one partition at the same time, the later commit may replace the earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from curator_dagster.curation import Curation

IN_PROGRESS_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class RunsInProgress:
    """Partitions and run keys of the runs in progress.

    Attributes:
        partitions: keys of all of them.
        run_keys: those of runs that were requested with one.
    """

    partitions: frozenset[str]
    run_keys: frozenset[str]


def runs_in_progress(curation: Curation, instance: dg.DagsterInstance, known: Sequence[str]) -> RunsInProgress:
    """Runs in progress of the curation's assets; `known` are all partition keys in the order of the instance."""
    assets = {curation.asset_key(params.asset) for params in curation.params.values()}
    position = {key: index for index, key in enumerate(known)}
    partitions: set[str] = set()
    run_keys: set[str] = set()
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_STATUSES)):
        if run.job_name != curation.job_name and assets.isdisjoint(run.asset_selection or ()):
            continue
        run_keys.add(run.tags.get("dagster/run_key", ""))
        key = run.tags.get("dagster/partition", "")
        first = position.get(run.tags.get("dagster/asset_partition_range_start", key))
        last = position.get(run.tags.get("dagster/asset_partition_range_end", key))
        if first is not None and last is not None:
            partitions.update(known[first : last + 1])
    return RunsInProgress(frozenset(partitions), frozenset(run_keys - {""}))
