"""Partition keys that a person typed into a launch and that name no batch of videos: found, and removed.

Dagster keeps every dynamic partition that is typed, also where the run on it fails or is never launched. A key is taken
for invented where the root does not know it and the instance has never materialized it. The keys of another root, whose
runs may be about to begin, end in a hash; those are only removed by a run on them.
"""

import re
from collections.abc import Collection, Iterable

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partitioning import BatchPartitioning
from stages.errors import CurationError
from stages.sources import registered_partitions
from stages.storage import Storage

_ENDS_IN_HASH = re.compile("(.*[^0-9a-f])?[0-9a-f]{8,}", re.DOTALL)


def find_invented_partitions(
    curation: Curation, instance: dg.DagsterInstance, keys: Iterable[str], registered: Collection[str]
) -> list[str]:
    """Those of the instance's keys that a scan may remove.

    Args:
        curation: whose partitions they are.
        instance: knows what is materialized.
        keys: of the instance, without those of runs in progress.
        registered: keys that the root knows.
    """
    unknown = [key for key in keys if key not in registered and not _ENDS_IN_HASH.fullmatch(key)]
    return _never_materialized(curation, instance, unknown)


def remove_partitions(curation: Curation, instance: dg.DagsterInstance, keys: Iterable[str]) -> None:
    """Remove dynamic partitions from the instance."""
    for key in keys:
        instance.delete_dynamic_partition(curation.scoped("sources"), key)


def remove_invented_partitions_of_run(
    curation: Curation, instance: dg.DagsterInstance, keys: Iterable[str], storage: Storage
) -> str:
    """Remove the invented ones among the partitions of a failed run; returns a sentence about it, or nothing."""
    if not isinstance(curation.partitioning, BatchPartitioning):
        return ""
    try:
        registered = set(registered_partitions(storage))
    except (CurationError, OSError):  # the run has failed for the same reason, and says so
        return ""
    listed = set(instance.get_dynamic_partitions(curation.scoped("sources")))
    unknown = [key for key in keys if key in listed and key not in registered]
    invented = _never_materialized(curation, instance, unknown)
    remove_partitions(curation, instance, invented)
    return f" {removal_line(invented)}" if invented else ""


def removal_line(keys: Collection[str]) -> str:
    """Says which partitions are removed, and why."""
    names = ", ".join(map(repr, sorted(keys)))
    return f"Removed from the list of partitions: {names}; typed by a person, and not made from videos."


def _never_materialized(curation: Curation, instance: dg.DagsterInstance, keys: list[str]) -> list[str]:
    if not keys:
        return []
    materialized = set[str]()
    for params in curation.params.values():
        materialized |= instance.get_materialized_partitions(curation.asset_key(params.asset))
    return [key for key in keys if key not in materialized]
