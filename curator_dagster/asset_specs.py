"""The spec of each of the seven assets: dependencies, description, owners, tags, and what else Dagster shows of it."""

from typing import NamedTuple

import dagster as dg

from curator_dagster.automation import automation_condition
from curator_dagster.curation import UNPARTITIONED_ASSETS, Curation
from curator_dagster.metadata import definition_metadata
from stages.params import PHASES


class _AssetNode(NamedTuple):
    deps: tuple[str, ...]
    description: str


ASSET_GRAPH: dict[str, _AssetNode] = {
    "videos": _AssetNode(
        (),
        """Source videos, probed by ranges without loading the file.

        One row a video: size, codec, displayed width and height, rotation, frame rate, length and where that came
        from. What cannot be read (empty, no video stream, header damaged, gone) is a failed row that says what to do.
        """,
    ),
    "clips": _AssetNode(
        ("videos",),
        """Clips: spans of a video between shot changes, or of fixed length.

        The one decode of each video. It also fills the frame store and measures motion, which all later phases read.
        A clip is a span in PTS; nothing is cut yet. A video that yields no clip has one row that says why.
        """,
    ),
    "filtered_clips": _AssetNode(
        ("clips",),
        """Clips with their scores, each kept or rejected by the first filter that it fails.

        Another threshold takes the decisions again from the stored scores; nothing is decoded for it.
        """,
    ),
    "embeddings": _AssetNode(
        ("filtered_clips",),
        "One vector of unit length for each clip that the filters kept, from pictures spread over the whole clip.",
    ),
    "captions": _AssetNode(
        ("filtered_clips",),
        "A text for each window of a clip that the filters kept; the column model says what wrote it.",
    ),
    "unique_clips": _AssetNode(
        ("embeddings", "filtered_clips"),
        """Clips of all partitions together: kept, or rejected as copy or near-duplicate of a kept one, or over a quota.

        Without partitions: it reads every partition that is embedded so far. Earlier decisions stand unless a rebuild
        is asked for.
        """,
    ),
    "dataset": _AssetNode(
        ("unique_clips", "captions", "filtered_clips"),
        """Clips that survived, cut into files, each with a preview, a JSON and a row of the index.

        Copied without encoding where the span allows it.
        """,
    ),
}
"""Dependencies and description by asset, in the order of the phases."""

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
