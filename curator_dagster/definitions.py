"""The code location: assets, job and resources, with `CURATOR_ROOT` naming the root."""

import dagster as dg

from curator_dagster.assets import ASSETS
from curator_dagster.jobs import curate
from curator_dagster.resources import RayPool, Storage
from stages.run import Session


def curation_definitions(ray_pool: RayPool | Session, storage: Storage) -> dg.Definitions:
    """All that curates, over this root; a session that is open already is used and left open."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=[curate],
        resources={"ray_pool": ray_pool, "storage": storage},
        # "Materialize" in the asset graph runs in the location's executor, not in the job's.
        executor=dg.in_process_executor,
    )


defs = curation_definitions(RayPool(), Storage(root=dg.EnvVar("CURATOR_ROOT")))
