"""What assets are handed: a session of workers, and the root under which everything lies."""

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
        """A session without work; `yield_for_execution` also closes it."""
        return Session(ExecutorParams.model_validate(self.model_dump()))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Session, None, None]:
        """One session for all steps of the run; its workers end with it, whatever happens."""
        with open_session(ExecutorParams.model_validate(self.model_dump())) as session:
            yield session


_RULES = ExecutorParams.model_json_schema()["properties"]
for _name, _field in RayPool.model_fields.items():  # of bounds Dagster shows what a description says
    _field.description = f"{_field.description} [{describe_bounds(_RULES[_name])}]"


def session_on(ray_key: str, executor: ExecutorParams | None = None) -> dg.ResourceDefinition:
    """One session for all steps of a run, on the Ray that the resource of a key stands for.

    A `RayPool` is its own session. Any other resource must have connected this process to Ray when it is set up, as
    `LocalRay`, `KubeRayCluster` and `KubeRayInteractiveJob` of dagster-ray do; that Ray is used and left as it was.

    Args:
        ray_key: of the resource.
        executor: how many workers and with which limits, on a Ray of another resource; its address is not used.
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


class Storage(dg.ConfigurableResource["Storage"]):
    """The root under which manifests, the frame store and the dataset lie."""

    root: str = Field(description="A folder, or any fsspec URL (s3://bucket/prefix) that every worker reaches.")

    def open(self) -> stages.storage.Storage:
        """The files below the root."""
        return stages.storage.Storage(self.root)

    def ref(self, asset: str, partition: str) -> ManifestRef:
        """Which table: an asset's, of one partition, under this root."""
        return ManifestRef(stages.storage.normalize_location(self.root), asset, partition)
