"""The component that adds a curation to a Dagster project, from one YAML file."""

import os
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal, Self

import dagster as dg
from dagster.components import ComponentTypeSpec
from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, create_model, field_validator

from curator_dagster.asset_specs import asset_spec
from curator_dagster.component_errors import check_curation, check_param_groups, errors_with_positions, position_of
from curator_dagster.component_schema import AttributesSchema
from curator_dagster.curation import Curation
from curator_dagster.curation_in_dagster import curation_definitions
from curator_dagster.partitioning import BatchPartitioning, Partitioning, TimeWindowPartitioning
from curator_dagster.project_executor import project_executor
from curator_dagster.resources import RayPool, Storage
from curator_dagster.watch.source import SourceBucket, WatchParams
from stages.errors import ParamsError
from stages.params import (
    GROUPS,
    CaptionParams,
    CheckParams,
    DedupParams,
    EmbedParams,
    ExecutorParams,
    FilterParams,
    Params,
    ReadParams,
    SplitParams,
    WriteParams,
)

Text = Annotated[str, BeforeValidator(str)]
"""A string that may look like a number: YAML templates turn "7" into 7."""


_PARAM_GROUPS: dict[str, type[BaseModel]] = {**GROUPS, "watch": WatchParams}
"""Parameters by the field that holds them."""


def _resolve_templates(context: dg.ResolutionContext, values: Any) -> Any:
    """The values with templates, such as ``{{ env.PROMPT }}``, replaced."""
    return context.resolve_value(values)


_PARAMS = dg.Resolver(_resolve_templates, model_field_type=object)
"""Resolver of a group of parameters; `AttributesSchema` says which, and `check_param_groups` checks them."""


@cache
def _attributes_model(derived: type[BaseModel]) -> type[BaseModel]:
    """The model that Dagster derives of a component, with the schemas of the parameters."""
    model: Any = create_model(derived.__name__, __base__=(AttributesSchema, derived))
    model.param_groups = _PARAM_GROUPS
    return model


def _absolute_location(location: str, context: dg.ComponentLoadContext) -> str:
    """A relative path counts from the project's folder, not from the working directory."""
    return location if "://" in location else os.path.abspath(context.project_root / location)


class WindowSettings(dg.Model, dg.Resolvable):
    """Where the paths of sources name days or hours."""

    start: Text = Field(description="First window, as '2026-01-31' or '2026-01-31-23:00'.")
    pattern: Text = Field(description="strftime pattern at the beginning of a path below the source, as '%Y/%m/%d/'.")
    timezone: Text = Field(default="UTC", description="IANA name of the zone that the paths are written in.")


_NAME_FIELD: Any = Field(
    default="",
    pattern="^([A-Za-z_][A-Za-z0-9_]*)?$",
    description="Sets this curation apart from another of the project; empty for an only one.",
)


class CurationScaffoldParams(BaseModel):
    """What `dg scaffold defs` asks for."""

    name: str = _NAME_FIELD
    source: str = Field(default="videos", description="Folder or fsspec URL of the videos.")
    root: str = Field(default="curated", description="Folder or fsspec URL that everything is written to.")


class CurationScaffolder(dg.Scaffolder[CurationScaffoldParams]):
    """Writes a YAML file that loads as it is."""

    @classmethod
    def get_scaffold_params(cls) -> type[CurationScaffoldParams]:
        """Parameters of `dg scaffold defs`."""
        return CurationScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[CurationScaffoldParams]) -> None:
        """Write `defs.yaml` with the parameters that are not empty."""
        values = request.params.model_dump().items()
        dg.scaffold_component(request, {attribute: value for attribute, value in values if value})


@dg.scaffold_with(CurationScaffolder)
class VideoCurationComponent(dg.Component, dg.Model, dg.Resolvable):
    """Long videos in, clean captioned clips out: seven assets with their checks, jobs, sensors and a schedule."""

    name: Text = _NAME_FIELD
    source: Text = Field(description="Folder or fsspec URL of the videos, which the sensor watches.")
    root: Text = Field(description="Folder or fsspec URL that everything is written to.")
    read: Annotated[Any, _PARAMS] = ReadParams()
    split: Annotated[Any, _PARAMS] = SplitParams()
    filter: Annotated[Any, _PARAMS] = FilterParams()
    embed: Annotated[Any, _PARAMS] = EmbedParams()
    caption: Annotated[Any, _PARAMS] = CaptionParams()
    dedup: Annotated[Any, _PARAMS] = DedupParams()
    write: Annotated[Any, _PARAMS] = WriteParams()
    checks: Annotated[Any, _PARAMS] = CheckParams()
    executor: Annotated[Any, _PARAMS] = ExecutorParams()
    watch: Annotated[Any, _PARAMS] = WatchParams()
    partitioning: Literal["batch", "daily", "hourly"] = Field(
        default="batch",
        description="A partition is a batch of new videos, or the day or hour that their paths name, see windows.",
    )
    windows: WindowSettings | None = Field(default=None, description="Where paths name days or hours.")
    schedule: Text = Field(
        default="0 * * * *", description="Cron expression at which the schedule scans for new videos, once turned on."
    )
    automated: bool = Field(
        default=False, description="A partition that is added is made up to the dataset by automation conditions."
    )
    fresh_within_hours: dict[str, float] = Field(
        default={}, description="By asset, after how many hours without a materialization it is overdue: {dataset: 24}."
    )
    pools: dict[str, str] = Field(
        default={}, description="Concurrency pool of the instance by phase, as {embed: gpu, caption: gpu}."
    )
    ray_resource_key: Text = Field(
        default="", description="The project's resource that connects to Ray, such as KubeRayCluster of dagster-ray."
    )
    sets_executor: bool = Field(
        default=True,
        description="*Materialize* runs the phases in one process, with one Ray. Set it to false where the project "
        "sets an executor of its own.",
    )
    owners: list[str] = Field(default=["team:video-curation"], description="E-mail addresses, or teams as team:NAME.")
    tags: dict[str, str] = Field(default={}, description="Of every asset.")
    plugins: list[str] = Field(
        default=[],
        description="Modules of your own classes that a launch may name, as acme.filters; those of the project's own "
        "package always may.",
    )

    trust: list[str] = Field(
        default=[],
        description="Checkpoints whose own code may run: names on the hub, better with @ and a commit, and folders. "
        "After 'pickle:' one whose weights in pickles may be read, without running code.",
    )

    @field_validator(*_PARAM_GROUPS, mode="before")
    @classmethod
    def _validate_params(cls, value: Any, info: ValidationInfo) -> Any:
        """Validate a group; Dagster derives no schema of a class with bounds, so the fields above are typed `Any`."""
        return _PARAM_GROUPS[str(info.field_name)].model_validate(value)

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """What stands below ``attributes``."""
        return _attributes_model(cls.model())

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> Self:
        """The component, after all of its parameters have been checked.

        Raises:
            ParamsError: says with file and line what is wrong.
        """
        given = model.model_dump(include=set(_PARAM_GROUPS), exclude_unset=True)
        check_param_groups(context, given, _PARAM_GROUPS)
        with errors_with_positions(context):
            component = super().resolve_from_model(context, model)
        try:
            curation = component.curation
        except ParamsError as error:
            raise ParamsError(f"{position_of(context, error)}: {error}", error.param) from None
        check_curation(context, curation, component.root)
        return component

    @classmethod
    def get_spec(cls) -> ComponentTypeSpec:
        """What `dg list components` shows."""
        return ComponentTypeSpec(
            description=(cls.__doc__ or "").splitlines()[0],
            tags=["video", "ray", "curation"],
            produces=["asset", "asset_check", "job", "sensor", "schedule", "resource"],
        )

    @property
    def curation(self) -> Curation:
        """The curation that the fields describe, without the project's own package among its plug-ins."""
        params: list[Params] = [self.read, self.split, self.filter, self.embed, self.caption, self.dedup, self.write]
        return Curation(
            namespace=self.name,
            params={each.phase: each for each in params},
            partitioning=self._partitioning,
            pools=self.pools,
            ray_key=self.ray_resource_key,
            executor=self.executor,
            look_at=self.schedule,
            checks=self.checks,
            automated=self.automated,
            fresh_within_hours=self.fresh_within_hours,
            owners=tuple(self.owners),
            tags=self.tags,
            plugins=tuple(self.plugins),
            trust=tuple(self.trust),
        )

    @property
    def _partitioning(self) -> Partitioning:
        if self.partitioning == "batch":
            return BatchPartitioning()
        if self.windows is None:
            raise ParamsError(
                f"partitioning={self.partitioning} requires windows, which say where paths name them, got none. "
                "Add {start: 2026-01-01, pattern: '%Y/%m/%d/'}.",
                "partitioning",
            )
        return TimeWindowPartitioning(self.partitioning, **self.windows.model_dump())

    def get_asset_spec(self, asset: str) -> dg.AssetSpec:
        """The spec of an asset, by the name of its table (``clips``).

        A subclass may override it, beginning with `super().get_asset_spec(asset)`.
        """
        return asset_spec(self.curation, asset)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs, sensors, schedule and resources of this curation."""
        ray_pool = None if self.ray_resource_key else RayPool(**self.executor.model_dump())
        storage = Storage(root=_absolute_location(self.root, context))
        source = SourceBucket(location=_absolute_location(self.source, context), **self.watch.model_dump())
        package = context.defs_module_name.partition(".")[0]
        curation = replace(self.curation, plugins=(*self.plugins, package))
        curated = curation_definitions(curation, ray_pool, storage, source=source, spec_of=self.get_asset_spec)
        if not self.sets_executor:
            return curated
        # One object for all components: Dagster merges definitions with an executor where it is the same.
        return dg.Definitions.merge(curated, dg.Definitions(executor=project_executor))
