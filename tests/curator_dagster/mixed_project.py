"""A curation and an asset of the project's own, as processes of a run load them."""

from pathlib import Path

import dagster as dg

from curator_dagster.curation import Curation, default_params
from curator_dagster.definitions import curation_definitions
from curator_dagster.project_executor import project_executor
from curator_dagster.resources import RayPool, Storage
from stages.manifest import read_manifest
from stages.params import SplitParams


@dg.asset(deps=["clips"])
def count(storage: Storage) -> None:
    """A file with the number of clips."""
    (Path(storage.root) / "count").write_text(str(read_manifest(storage.root, "clips").num_rows))


def curate_and_count() -> dg.JobDefinition:
    """The job of two phases without a model, in the process of their session, and the own asset."""
    split = SplitParams(method="fixed_stride", clip_length_s=1, min_length_s=0.5)
    curation = Curation(params={**default_params(), "split": split})
    curated = curation_definitions(curation, RayPool(mode="local"), Storage(root=dg.EnvVar("CURATOR_ROOT")))
    job = dg.define_asset_job("curate_and_count", dg.AssetSelection.assets("videos", "clips", count))
    mine = dg.Definitions(assets=[count], jobs=[job], executor=project_executor)
    return dg.Definitions.merge(curated, mine).resolve_job_def("curate_and_count")
