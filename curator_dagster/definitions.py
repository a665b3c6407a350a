"""The code location: assets, jobs, sensors, schedule and resources.

Environment variables:
    CURATOR_ROOT     folder or fsspec URL that everything is written to
    CURATOR_SOURCE   folder or fsspec URL of the videos, which the sensor watches
    CURATOR_CONFIG   a YAML file of parameters, as `curator run --config` takes it; what a launch begins with
"""

import os
from pathlib import Path

import dagster as dg

from curator_dagster.commands.cli_params import parse_params
from curator_dagster.curation import Curation
from curator_dagster.curation_in_dagster import curation_definitions
from curator_dagster.resources import RayPool, Storage
from curator_dagster.watch.source import SourceBucket
from stages.params import PHASES


def location_definitions() -> dg.Definitions:
    """The definitions that the environment variables describe.

    Raises:
        ParamsError: CURATOR_CONFIG names no file of parameters, or its values are invalid.
    """
    file = os.environ.get("CURATOR_CONFIG")
    params = parse_params(Path(file) if file else None, [])
    curation = Curation(
        params={phase: params[phase] for phase in PHASES}, executor=params["executor"], checks=params["checks"]
    )
    ray_pool = RayPool(**params["executor"].model_dump())
    storage, source = Storage(root=dg.EnvVar("CURATOR_ROOT")), SourceBucket(location=dg.EnvVar("CURATOR_SOURCE"))
    curated = curation_definitions(curation, ray_pool, storage, source=source)
    # "Materialize" in the asset graph runs in the location's executor, not in the job's.
    return dg.Definitions.merge(curated, dg.Definitions(executor=dg.in_process_executor))


defs = location_definitions()
