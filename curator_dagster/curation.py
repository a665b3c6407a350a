"""One curation of a code location: what its parts are called, and what its assets begin with."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import dagster as dg

from curator_dagster.watch.windows import Batches, Partitioning, Windows
from stages.errors import ParamsError
from stages.params import PHASES, CheckParams, ExecutorParams, Params

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
        pools: by phase, the concurrency pool of the instance in which its steps stand in line; "" for none, even
            where it takes GPU memory.
        ray_key: the project's resource that connects to Ray; this curation has a `RayPool` of its own without one.
        executor: workers on a Ray that a resource of another kind than `RayPool` has connected to.
        look_at: cron expression of the schedule that looks for new videos.
        checks: what is checked of each table, and how severe a failure is.
        automated: a partition that is added is made up to the dataset by itself, see `automation`.
        fresh_within_hours: by asset, after how many hours without a materialization it is overdue.
        owners: of every asset.
        tags: of every asset.
    """

    namespace: str = ""
    params: Mapping[str, Params] = field(default_factory=default_params)
    partitioning: Partitioning = field(default_factory=Batches)
    pools: Mapping[str, str] = field(default_factory=lambda: {})
    ray_key: str = ""
    executor: ExecutorParams = field(default_factory=ExecutorParams)
    look_at: str = "0 * * * *"
    checks: CheckParams = field(default_factory=CheckParams)
    automated: bool = False
    fresh_within_hours: Mapping[str, float] = field(default_factory=lambda: {})
    owners: tuple[str, ...] = ("team:video-curation",)
    tags: Mapping[str, str] = field(default_factory=lambda: {})

    def __post_init__(self) -> None:
        """Names that nothing bears are refused, instead of having no effect.

        Raises:
            ParamsError: a pool of no phase, or freshness of no asset or of less than a minute.
        """
        _check_names("pools", self.pools, PHASES)
        _check_names("fresh_within_hours", self.fresh_within_hours, [params.asset for params in PHASES.values()])
        for asset, hours in self.fresh_within_hours.items():
            if hours < 1 / 60:
                raise ParamsError(f"fresh_within_hours of {asset} must be a minute (0.0167) or more, got {hours}.")

    def scoped(self, word: str) -> str:
        """A name that is this curation's own: of its job, sensor, resources."""
        return f"{self.namespace}_{word}" if self.namespace else word

    @property
    def ray_pool(self) -> str:
        """Key of the resource that is, or leads to, the workers."""
        return self.ray_key or self.scoped("ray_pool")

    @property
    def source_keys(self) -> set[str]:
        """Keys of the resources that a look at the source takes."""
        return {self.scoped("storage"), self.scoped("source")}

    def resource_keys(self, asset: str) -> set[str]:
        """Keys of the resources that its step takes beside its workers; a day's videos are listed by their own step."""
        lists = asset == "videos" and isinstance(self.partitioning, Windows)
        return self.source_keys if lists else {self.scoped("storage")}

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

    def pool(self, phase: str) -> str | None:
        """In which the steps of a phase stand in line; ``gpu`` for one that takes GPU memory and names none."""
        default = "gpu" if getattr(self.params[phase], "gpu_memory_gb", 0) else ""
        return self.pools.get(phase, default) or None

    def freshness_policy(self, asset: str) -> dg.FreshnessPolicy | None:
        """By which Dagster says that an asset is overdue; None where nothing is asked of it."""
        hours = self.fresh_within_hours.get(asset)
        return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours)) if hours else None

    @property
    def partitions_def(self) -> dg.PartitionsDefinition:
        """Of every asset but those that span partitions."""
        return self.partitioning.definition(self.scoped("sources"))

    @property
    def job_name(self) -> str:
        """The job that makes all seven."""
        return self.scoped("curate")


def _check_names(field_name: str, given: Iterable[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ParamsError(f"{field_name} must be for some of {', '.join(known)}, got {', '.join(unknown)}.")
