"""What assets are handed: a session of workers, and the root under which everything lies."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

import stages.storage
from stages.manifest import ManifestRef
from stages.params import ExecutorParams
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


class Storage(dg.ConfigurableResource["Storage"]):
    """The root under which manifests, the frame store and the dataset lie."""

    root: str = Field(description="A folder, or any fsspec URL (s3://bucket/prefix) that every worker reaches.")

    def open(self) -> stages.storage.Storage:
        """The files below the root."""
        return stages.storage.Storage(self.root)

    def ref(self, asset: str, partition: str) -> ManifestRef:
        """Which table: an asset's, of one partition, under this root."""
        return ManifestRef(stages.storage.normalize(self.root), asset, partition)
