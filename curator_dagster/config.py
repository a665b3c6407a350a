"""What a run can be launched with: the parameters of each phase, as Dagster config."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pydantic
from pydantic.fields import FieldInfo

from curator_dagster.curation import Curation
from stages.params import (
    PHASES,
    CaptionParams,
    DedupParams,
    EmbedParams,
    FilterParams,
    Params,
    ReadParams,
    SplitParams,
    WriteParams,
    describe_bounds,
    validate_all,
)
from stages.run import check_phases


class ReadConfig(ReadParams, dg.Config):
    """Listing and probing source videos."""


class SplitConfig(SplitParams, dg.Config):
    """Decoding a video once, and cutting it into clips."""


class FilterConfig(FilterParams, dg.Config):
    """Scoring clips and deciding which to keep."""


class EmbedConfig(EmbedParams, dg.Config):
    """One vector a clip."""


class CaptionConfig(CaptionParams, dg.Config):
    """A text for each window of a clip."""


class DedupConfig(DedupParams, dg.Config):
    """Finding near-duplicates over all partitions, and choosing which stays."""


class WriteConfig(WriteParams, dg.Config):
    """Cutting the surviving clips and writing the dataset."""


_CONFIGS: dict[str, type[Params]] = {
    config.phase: config
    for config in (ReadConfig, SplitConfig, FilterConfig, EmbedConfig, CaptionConfig, DedupConfig, WriteConfig)
}


def plain_params(config: Params) -> Params:
    """The same values without Dagster's class, as they cross to workers."""
    return PHASES[config.phase].model_validate(config.model_dump())


def config_class(params: Params) -> type[Params]:
    """The Dagster config of a phase whose fields begin at these values, and say their bounds.

    Dagster shows a field's description and default in the launchpad, and of its bounds nothing.
    """
    base = _CONFIGS[params.phase]
    rules = type(params).model_json_schema()["properties"]
    fields: dict[str, Any] = {}
    for name, declared in base.model_fields.items():
        about = f"{declared.description} [{describe_bounds(rules[name])}; a change affects: {base.effect_of(name)}]"
        field = FieldInfo.merge_field_infos(declared, default=getattr(params, name), description=about)
        fields[name] = (declared.annotation, field)
    return pydantic.create_model(base.__name__, __base__=base, __module__=__name__, **fields)


def check_run_config(curation: Curation, run_config: Mapping[str, Any], root: str) -> None:
    """Nothing that a run was launched with breaks a rule or names a class that is not there, in whatever phase.

    Dagster checks names and types when a run is launched, but bounds only where a step builds its config: after
    hours of other steps, without this.

    Raises:
        ParamsError: names everything that is wrong in all phases at once.
    """
    ops = run_config.get("ops") or {}
    asked: dict[str, dict[str, Any]] = {}
    for phase, params in curation.params.items():
        launched = (ops.get(curation.op_name(params.asset)) or {}).get("config") or {}
        asked[phase] = {**params.model_dump(), **_from_environment(launched)}
    checked = validate_all(asked)
    check_phases((checked[phase] for phase in PHASES), root)


def _from_environment(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values given as ``{"env": NAME}``, which is how Dagster writes them, are looked up."""
    return {
        name: os.environ.get(value["env"]) if isinstance(value, dict) and set(value) == {"env"} else value
        for name, value in config.items()
    }
