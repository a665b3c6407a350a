"""The code location: assets, job, sensor, schedule and resources.

What the environment says of it:
    CURATOR_ROOT     folder or fsspec URL that everything is written to
    CURATOR_SOURCE   folder or fsspec URL of the videos, which the sensor watches
    CURATOR_CONFIG   a YAML file of parameters, as `curator run --config` takes it; what a launch begins with
"""

import os
from pathlib import Path

import dagster as dg

from curator_dagster.assets import SpecOf, curation_assets
from curator_dagster.automation import automation_sensor
from curator_dagster.commands.requests import requested_params
from curator_dagster.curation import Curation
from curator_dagster.jobs import curation_job, find_videos_job
from curator_dagster.resources import RayPool, Storage
from curator_dagster.rewriting import rewrite_job, rewrite_sensor
from curator_dagster.watch.sensors import new_videos_schedule, new_videos_sensor
from curator_dagster.watch.source import SourceBucket
from stages.params import PHASES


def curation_definitions(
    curation: Curation,
    ray_pool: object | None,
    storage: Storage,
    *,
    source: SourceBucket | None = None,
    spec_of: SpecOf | None = None,
) -> dg.Definitions:
    """All that curates, over this root.

    Args:
        curation: what its parts are called and begin with.
        ray_pool: a `RayPool`, a session, which is left open, or any resource that connects to Ray, as
            dagster-ray's; None where the project has one under `Curation.ray_key`.
        storage: where everything lies.
        source: what a sensor and a schedule watch; without one there is neither.
        spec_of: see `curation_assets`.
    """
    assets = curation_assets(curation, spec_of)
    job = curation_job(curation, assets)
    resources = {"ray_pool": ray_pool, "storage": storage, "source": source}
    rewriting = rewrite_job(curation, assets)
    watching = [new_videos_sensor(curation, job)] if source else []
    automating = [automation_sensor(curation)] if curation.automated else []
    return dg.Definitions(
        assets=assets,
        jobs=[job, rewriting, *([find_videos_job(curation)] if source else [])],
        sensors=[*watching, rewrite_sensor(curation, rewriting), *automating],
        schedules=[new_videos_schedule(curation, job)] if source else [],
        resources={curation.scoped(name): resource for name, resource in resources.items() if resource is not None},
    )


def location_definitions() -> dg.Definitions:
    """What the environment asks for.

    Raises:
        ParamsError: CURATOR_CONFIG names no file of parameters, or one that breaks their rules.
    """
    file = os.environ.get("CURATOR_CONFIG")
    params = requested_params(Path(file) if file else None, [])
    curation = Curation(
        params={phase: params[phase] for phase in PHASES}, executor=params["executor"], checks=params["checks"]
    )
    ray_pool = RayPool(**params["executor"].model_dump())
    storage, source = Storage(root=dg.EnvVar("CURATOR_ROOT")), SourceBucket(location=dg.EnvVar("CURATOR_SOURCE"))
    curated = curation_definitions(curation, ray_pool, storage, source=source)
    # "Materialize" in the asset graph runs in the location's executor, not in the job's.
    return dg.Definitions.merge(curated, dg.Definitions(executor=dg.in_process_executor))


defs = location_definitions()
