"""Dagster resources: a session of workers, and the storage under the root."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

import stages.storage
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, describe_bounds
from stages.run import Session, open_session


class RayPool(ExecutorParams, dg.ConfigurableResource[Session]):
    """A pool of Ray workers that lives as long as the run. Ray starts at the first work, not with the run."""

    def create_resource(self, context: dg.InitResourceContext) -> Session:
        """A session that has started nothing; `yield_for_execution` closes it."""
        return Session(ExecutorParams.model_validate(self.model_dump()))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Session, None, None]:
        """One session for all steps of the run; its workers end with the run, also where it fails."""
        with open_session(ExecutorParams.model_validate(self.model_dump())) as session:
            yield session


_RULES = ExecutorParams.model_json_schema()["properties"]
for _name, _field in RayPool.model_fields.items():  # Dagster shows no bounds but those in a description
    _field.description = f"{_field.description} [{describe_bounds(_RULES[_name])}]"


def session_resource(ray_key: str, executor: ExecutorParams | None = None) -> dg.ResourceDefinition:
    """A resource that holds one session for all steps of a run, on the Ray of another resource.

    A `RayPool` already yields a session. Any other resource must connect this process to Ray when it is set up, as
    `LocalRay`, `KubeRayCluster` and `KubeRayInteractiveJob` of dagster-ray do; that Ray is used and left running.

    Args:
        ray_key: key of the other resource.
        executor: settings of the workers where that is no `RayPool`; its address is not used.
    """
    connected = (executor or ExecutorParams()).model_copy(update={"address": "connected"})

    @contextmanager
    def session(context: dg.InitResourceContext) -> Iterator[Session]:
        ray_pool = getattr(context.resources, ray_key)
        if isinstance(ray_pool, Session):
            yield ray_pool
            return
        with open_session(connected) as opened:
            yield opened

    return dg.ResourceDefinition(session, required_resource_keys={ray_key}, description="Workers on Ray, for one run.")


def known_location(location: str) -> str:
    """A location of a resource, absolute, as far as it is known when definitions are loaded.

    Empty where it is an environment variable that is not set.
    """
    value = location.get_value() if isinstance(location, dg.EnvVar) else location
    return stages.storage.normalize_location(value) if value else ""


class Storage(dg.ConfigurableResource["Storage"]):
    """The root under which manifests, the frame store and the dataset lie."""

    root: str = Field(description="A folder, or any fsspec URL (s3://bucket/prefix) that every worker reaches.")

    def open(self) -> stages.storage.Storage:
        """The storage below the root."""
        return stages.storage.Storage(self.root)

    def ref(self, asset: str, partition: str) -> ManifestRef:
        """Reference to the table of an asset and partition under this root."""
        return ManifestRef(stages.storage.normalize_location(self.root), asset, partition)
