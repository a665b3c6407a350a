"""The code location: assets, job and resources.

What the environment says of it:
    CURATOR_ROOT     folder or fsspec URL that everything is written to
    CURATOR_CONFIG   a YAML file of parameters, as `curator run --config` takes it; what a launch begins with
"""

import os
from pathlib import Path

import dagster as dg

from curator_dagster.assets import SpecOf, curation_assets
from curator_dagster.curation import Curation
from curator_dagster.jobs import curation_job
from curator_dagster.requests import requested_params
from curator_dagster.resources import RayPool, Storage
from stages.params import PHASES
from stages.run import Session


def curation_definitions(
    curation: Curation, ray_pool: RayPool | Session, storage: Storage, spec_of: SpecOf | None = None
) -> dg.Definitions:
    """All that curates, over this root; a session that is open already is used and left open."""
    assets = curation_assets(curation, spec_of)
    return dg.Definitions(
        assets=assets,
        jobs=[curation_job(curation, assets)],
        resources={curation.scoped("ray_pool"): ray_pool, curation.scoped("storage"): storage},
    )


def location_definitions() -> dg.Definitions:
    """What the environment asks for.

    Raises:
        ParamsError: CURATOR_CONFIG names no file of parameters, or one that breaks their rules.
    """
    file = os.environ.get("CURATOR_CONFIG")
    params = requested_params(Path(file) if file else None, [])
    curation = Curation(params={phase: params[phase] for phase in PHASES})
    ray_pool = RayPool(**params["executor"].model_dump())
    curated = curation_definitions(curation, ray_pool, Storage(root=dg.EnvVar("CURATOR_ROOT")))
    # "Materialize" in the asset graph runs in the location's executor, not in the job's.
    return dg.Definitions.merge(curated, dg.Definitions(executor=dg.in_process_executor))


defs = location_definitions()
