"""The spec of each of the seven assets: dependencies, description, owners, tags, and what else Dagster shows of it."""

import dagster as dg

from curator_dagster.asset_graph import ASSET_GRAPH, UNPARTITIONED_ASSETS
from curator_dagster.automation import automation_condition
from curator_dagster.curation import Curation
from curator_dagster.metadata import definition_metadata
from stages.params import PHASES

_CODE_VERSIONS = {params.asset: params.code_version for params in PHASES.values()}


def asset_spec(curation: Curation, asset: str) -> dg.AssetSpec:
    """The spec of an asset, which Dagster needs no code of its step for."""
    node = ASSET_GRAPH[asset]
    return dg.AssetSpec(
        curation.asset_key(asset),
        deps=[curation.asset_key(dep) for dep in node.deps],
        description="\n".join(line.strip() for line in node.description.splitlines()).strip(),
        group_name=curation.group_name,
        owners=curation.owners,
        tags=curation.tags,
        kinds={"ray", "parquet"},
        code_version=_CODE_VERSIONS[asset],
        metadata=definition_metadata(asset),
        partitions_def=None if asset in UNPARTITIONED_ASSETS else curation.partitions_def,
        automation_condition=automation_condition(curation, asset),
        freshness_policy=curation.freshness_policy(asset),
    )
