"""Events for tables that exist under the root and that the Dagster instance knows nothing of."""

from collections.abc import Sequence

import dagster as dg

from curator_dagster.asset_graph import UNPARTITIONED_ASSETS
from curator_dagster.curation import Curation
from curator_dagster.resources import Storage
from stages.errors import ManifestError
from stages.manifest import ALL, ManifestRef, last_commit
from stages.storage import map_concurrently


def existing_materializations(
    curation: Curation, storage: Storage, instance: dg.DagsterInstance, partitions: Sequence[str]
) -> list[dg.AssetMaterialization]:
    """A materialization of each table of those partitions whose `dataset` the instance has not materialized.

    A partition that the command line or another instance has made is shown as made, and no automation condition takes
    it for missing.

    Raises:
        StorageError: the root does not answer.
    """
    if not partitions:
        return []
    files = storage.open()
    materialized = instance.get_materialized_partitions(curation.asset_key("dataset"))
    unknown = [partition for partition in partitions if partition not in materialized]
    refs = [
        storage.ref(params.asset, partition)
        for params in curation.params.values()
        if params.asset not in UNPARTITIONED_ASSETS
        for partition in unknown
    ]
    refs += [
        storage.ref(asset, ALL)
        for asset in UNPARTITIONED_ASSETS
        if unknown and instance.get_latest_materialization_event(curation.asset_key(asset)) is None
    ]

    def materialization(ref: ManifestRef) -> dg.AssetMaterialization | None:
        try:
            commit = last_commit(files, ref)
        except ManifestError:  # damaged: the next run of the phase says so
            return None
        if commit is None:
            return None
        return dg.AssetMaterialization(
            asset_key=curation.asset_key(ref.asset),
            partition=None if ref.partition == ALL else ref.partition,
            description="Made before this Dagster instance knew of it.",
            metadata={"manifest": files.location(ref.folder), "commit": str(commit.number), **commit.counts},
            tags={"dagster/data_version": commit.digest},
        )

    return [event for event in map_concurrently(materialization, refs) if event is not None]
