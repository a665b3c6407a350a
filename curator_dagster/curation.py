"""The settings of one curation in a code location, and the names of its Dagster objects."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import dagster as dg

from curator_dagster.partitioning import BatchPartitioning, Partitioning, TimeWindowPartitioning
from stages.errors import ParamsError
from stages.params import PHASES, CheckParams, ExecutorParams, GpuParams, Params, ReadParams


def default_params() -> dict[str, Params]:
    """The default parameters of every phase."""
    return {phase: params() for phase, params in PHASES.items()}


@dataclass(frozen=True)
class Curation:
    """Settings of seven assets with their checks, jobs, sensors and resources, under names of their own.

    Attributes:
        namespace: prefix of all names, where a Dagster project has several curations; else empty.
        params: default parameters of a launch, by phase.
        partitioning: how sources become partitions.
        pools: by phase, the concurrency pool of its steps; "" for none, also where the phase takes a GPU.
        ray_key: key of the project's resource that connects to Ray; empty where the curation has its own `RayPool`.
        executor: settings of the workers, where `ray_key` names a resource that is no `RayPool`.
        look_at: cron expression of the schedule that scans the source.
        checks: thresholds and severities of the asset checks.
        automated: assets have automation conditions, see `automation`.
        fresh_within_hours: by asset, hours after which its freshness policy fails.
        owners: of every asset.
        tags: of every asset.
        plugins: modules of users' own classes that a launch may name, see `launch_policy`.
        trust: names on the hub and folders of checkpoints whose own code may run, beside CURATOR_TRUST.
        is_trusted: launches come from the person at the command line, who may name any class and host.
    """

    namespace: str = ""
    params: Mapping[str, Params] = field(default_factory=default_params)
    partitioning: Partitioning = field(default_factory=BatchPartitioning)
    pools: Mapping[str, str] = field(default_factory=lambda: {})
    ray_key: str = ""
    executor: ExecutorParams = field(default_factory=ExecutorParams)
    look_at: str = "0 * * * *"
    checks: CheckParams = field(default_factory=CheckParams)
    automated: bool = False
    fresh_within_hours: Mapping[str, float] = field(default_factory=lambda: {})
    owners: tuple[str, ...] = ("team:video-curation",)
    tags: Mapping[str, str] = field(default_factory=lambda: {})
    plugins: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    is_trusted: bool = False

    def __post_init__(self) -> None:
        """Reject unknown names, which would have no effect.

        Raises:
            ParamsError: a pool of an unknown phase, a freshness of an unknown asset or of less than a minute.
        """
        _reject_unknown_names("pools", self.pools, PHASES)
        _reject_unknown_names(
            "fresh_within_hours", self.fresh_within_hours, [params.asset for params in PHASES.values()]
        )
        for asset, hours in self.fresh_within_hours.items():
            if hours < 1 / 60:
                text = f"fresh_within_hours of {asset} must be a minute (0.0167) or more, got {hours}."
                raise ParamsError(text, f"fresh_within_hours.{asset}")

    def scoped(self, name: str) -> str:
        """The name of a job, sensor or resource, prefixed by the namespace."""
        return f"{self.namespace}_{name}" if self.namespace else name

    @property
    def read_params(self) -> ReadParams:
        """Parameters of `read`, by which a scan lists and groups sources too."""
        return cast(ReadParams, self.params["read"])  # a mapping has one type for the parameters of all phases

    @property
    def ray_pool_key(self) -> str:
        """Key of the resource that holds the session of workers, or that connects to Ray."""
        return self.ray_key or self.scoped("ray_pool")

    @property
    def source_resource_keys(self) -> set[str]:
        """Keys of the resources that a scan of the source requires."""
        return {self.scoped("storage"), self.scoped("source")}

    def required_resource_keys(self, asset: str) -> set[str]:
        """Resources of an asset's step beside the session; the step of `videos` lists the source of a time window."""
        lists = asset == "videos" and isinstance(self.partitioning, TimeWindowPartitioning)
        return self.source_resource_keys if lists else {self.scoped("storage")}

    @property
    def group_name(self) -> str:
        """Asset group of all assets."""
        return self.namespace or "video_curation"

    def asset_key(self, asset: str) -> dg.AssetKey:
        """Asset key of the table."""
        return dg.AssetKey([self.namespace, asset] if self.namespace else [asset])

    def op_name(self, asset: str) -> str:
        """Name of the asset's op, under which its run config stands."""
        return f"{self.namespace}__{asset}" if self.namespace else asset

    def concurrency_pool(self, phase: str) -> str | None:
        """Concurrency pool of a phase; ``gpu`` for one that takes a GPU and names none."""
        params = self.params[phase]
        default = "gpu" if isinstance(params, GpuParams) and params.requires_gpu else ""
        return self.pools.get(phase, default) or None

    def freshness_policy(self, asset: str) -> dg.FreshnessPolicy | None:
        """Freshness policy of an asset; None where `fresh_within_hours` names none."""
        hours = self.fresh_within_hours.get(asset)
        return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours)) if hours else None

    @property
    def partitions_def(self) -> dg.PartitionsDefinition:
        """Partitions of every asset except the unpartitioned ones."""
        return self.partitioning.partitions_def(self.scoped("sources"))

    @property
    def job_name(self) -> str:
        """Name of the job that materializes all seven assets."""
        return self.scoped("curate")


def _reject_unknown_names(field_name: str, given: Iterable[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        text = f"{field_name} must be for some of {', '.join(known)}, got {', '.join(unknown)}."
        raise ParamsError(text, f"{field_name}.{unknown[0]}")
