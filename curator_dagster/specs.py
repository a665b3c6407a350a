"""What each of the seven assets is to a person who looks at the graph: its meaning, its inputs, who looks after it."""

from typing import NamedTuple

import dagster as dg

from curator_dagster.automation import condition_of
from curator_dagster.curation import SPANNING_ASSETS, Curation
from curator_dagster.metadata import asset_metadata
from stages.params import PHASES


class _About(NamedTuple):
    deps: tuple[str, ...]
    description: str


ABOUT: dict[str, _About] = {
    "videos": _About(
        (),
        """Source videos, probed by ranges without loading the file.

        One row a video: size, codec, displayed width and height, rotation, frame rate, length and where that came
        from. What cannot be read (empty, no video stream, header damaged, gone) is a failed row that says what to do.
        """,
    ),
    "clips": _About(
        ("videos",),
        """Clips: spans of a video between shot changes, or of fixed length.

        The one decode of each video. It also fills the frame store and measures motion, which all later phases read.
        A clip is a span in PTS; nothing is cut yet. A video that yields no clip has one row that says why.
        """,
    ),
    "filtered_clips": _About(
        ("clips",),
        """Clips with their scores, each kept or rejected by the first filter that it fails.

        Another threshold takes the decisions again from the stored scores; nothing is decoded for it.
        """,
    ),
    "embeddings": _About(
        ("filtered_clips",),
        "One vector of unit length for each clip that the filters kept, from pictures spread over the whole clip.",
    ),
    "captions": _About(
        ("filtered_clips",),
        "A text for each window of a clip that the filters kept; the column ``model`` says what wrote it.",
    ),
    "unique_clips": _About(
        ("embeddings", "filtered_clips"),
        """Clips of all partitions together, each kept or rejected as the near-duplicate of a kept one.

        Without partitions: it reads every partition that is embedded so far. Earlier decisions stand unless a rebuild
        is asked for.
        """,
    ),
    "dataset": _About(
        ("unique_clips", "captions", "filtered_clips"),
        """Clips that survived, cut into files, each with a preview, a JSON and a row of the index.

        Copied without encoding where the span allows it.
        """,
    ),
}
"""By asset, in the order of the phases."""

_CODE_VERSIONS = {params.asset: params.code_version for params in PHASES.values()}


def asset_spec(curation: Curation, asset: str) -> dg.AssetSpec:
    """The asset as it stands in the graph, before its step is known."""
    about = ABOUT[asset]
    return dg.AssetSpec(
        curation.asset_key(asset),
        deps=[curation.asset_key(dep) for dep in about.deps],
        description="\n".join(line.strip() for line in about.description.splitlines()).strip(),
        group_name=curation.group_name,
        owners=curation.owners,
        tags=curation.tags,
        kinds={"ray", "parquet"},
        code_version=_CODE_VERSIONS[asset],
        metadata=asset_metadata(asset),
        partitions_def=None if asset in SPANNING_ASSETS else curation.partitions_def,
        automation_condition=condition_of(curation, asset),
        freshness_policy=curation.freshness_policy(asset),
    )
