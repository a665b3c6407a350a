"""One curation of a code location: what its parts are called, and what its assets begin with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from curator_dagster.windows import Batches, Partitioning
from stages.params import PHASES, Params

SPANNING_ASSETS = frozenset({"unique_clips"})
"""Assets that look across all partitions and so have none in Dagster."""


def default_params() -> dict[str, Params]:
    """Parameters of every phase as they are declared."""
    return {phase: params() for phase, params in PHASES.items()}


@dataclass(frozen=True)
class Curation:
    """Seven assets, and all that hangs on them, under names of their own.

    Attributes:
        namespace: set apart by it from another curation of the same Dagster project; empty for an only one.
        params: what a run takes where its launch does not say otherwise, by phase.
        partitioning: how sources become partitions.
        pools: by phase, the concurrency pool of the instance in which its steps stand in line.
        owners: of every asset.
        tags: of every asset.
    """

    namespace: str = ""
    params: Mapping[str, Params] = field(default_factory=default_params)
    partitioning: Partitioning = field(default_factory=Batches)
    pools: Mapping[str, str] = field(default_factory=lambda: {})
    owners: tuple[str, ...] = ("team:video-curation",)
    tags: Mapping[str, str] = field(default_factory=lambda: {})

    def scoped(self, word: str) -> str:
        """A name that is this curation's own: of its job, sensor, resources."""
        return f"{self.namespace}_{word}" if self.namespace else word

    @property
    def group_name(self) -> str:
        """Of its assets in the graph."""
        return self.namespace or "video_curation"

    def asset_key(self, asset: str) -> dg.AssetKey:
        """Of the asset that holds this table."""
        return dg.AssetKey([self.namespace, asset] if self.namespace else [asset])

    def op_name(self, asset: str) -> str:
        """What its step is called, and its part of a run's config."""
        return f"{self.namespace}__{asset}" if self.namespace else asset

    @property
    def partitions_def(self) -> dg.PartitionsDefinition:
        """Of every asset but those that span partitions."""
        return self.partitioning.definition(self.scoped("sources"))

    @property
    def job_name(self) -> str:
        """The job that makes all seven."""
        return self.scoped("curate")
