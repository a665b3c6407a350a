"""The definitions of one curation: assets, jobs, sensors, schedule and resources."""

from functools import partial

import dagster as dg

from curator_dagster.asset_specs import asset_spec
from curator_dagster.assets import SpecOf, curation_assets
from curator_dagster.automation import automation_sensor
from curator_dagster.curation import Curation
from curator_dagster.jobs import curation_job, find_videos_job, rewrite_job
from curator_dagster.metadata import definition_location
from curator_dagster.resources import Storage, known_location
from curator_dagster.rewrite.sensor import rewrite_sensor
from curator_dagster.watch.sensor_and_schedule import new_videos_schedule, new_videos_sensor
from curator_dagster.watch.source import SourceBucket


def curation_definitions(
    curation: Curation,
    ray_pool: object | None,
    storage: Storage,
    *,
    source: SourceBucket | None = None,
    spec_of: SpecOf | None = None,
) -> dg.Definitions:
    """The definitions of one curation of one root.

    Args:
        curation: its names, parameters and settings.
        ray_pool: a `RayPool`, an open session (left open), or any resource that connects to Ray, such as
            dagster-ray's; None where the project defines the resource of `Curation.ray_key`.
        storage: the root.
        source: the source that sensor and schedule scan; without one there is neither.
        spec_of: see `curation_assets`.
    """
    assets = curation_assets(curation, _spec_with_location(spec_of or partial(asset_spec, curation), storage))
    job = curation_job(curation, assets)
    resources = {"ray_pool": ray_pool, "storage": storage, "source": source}
    rewrite_dataset = rewrite_job(curation, assets)
    source_sensors = [new_videos_sensor(curation, job, source)] if source else []
    automation_sensors = [automation_sensor(curation)] if curation.automated else []
    return dg.Definitions(
        assets=assets,
        jobs=[job, rewrite_dataset, *([find_videos_job(curation, source)] if source else [])],
        sensors=[*source_sensors, rewrite_sensor(curation, rewrite_dataset), *automation_sensors],
        schedules=[new_videos_schedule(curation, job, source)] if source else [],
        resources={curation.scoped(name): resource for name, resource in resources.items() if resource is not None},
    )


def _spec_with_location(spec_of: SpecOf, storage: Storage) -> SpecOf:
    """Specs that say where the files of the asset lie, where the root is known."""
    root = known_location(storage.root)

    def spec_with_location(asset: str) -> dg.AssetSpec:
        spec = spec_of(asset)
        metadata = {**definition_location(asset, root), **spec.metadata} if root else spec.metadata
        return spec.replace_attributes(metadata=metadata)

    return spec_with_location
