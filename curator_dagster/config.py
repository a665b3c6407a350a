"""Run config: the parameters of each phase as Dagster config classes, and their validation."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import dagster as dg
import pydantic
from pydantic.fields import FieldInfo

from curator_dagster.curation import Curation
from curator_dagster.launch_policy import check_run_config, launch_policy
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
from stages.run import check_embedder, check_phases, check_ranking, check_signals


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
    """Finding copies and near-duplicates over all partitions, choosing which stays, and quotas."""


class WriteConfig(WriteParams, dg.Config):
    """Cutting the surviving clips and writing the dataset."""


_CONFIG_CLASSES: dict[str, type[Params]] = {
    config.phase: config
    for config in (ReadConfig, SplitConfig, FilterConfig, EmbedConfig, CaptionConfig, DedupConfig, WriteConfig)
}


def params_from_config(config: Params) -> Params:
    """The same values as plain parameters, which workers receive instead of Dagster's class."""
    return PHASES[config.phase].model_validate(config.model_dump())


def config_class(params: Params) -> type[Params]:
    """The config class of a phase with these values as defaults, and name and bounds in the descriptions.

    The launchpad shows the description and default of a field, but not its bounds. Nor does it show that ``threshold``
    below the op ``clips`` is what messages, YAML and command line call ``split.threshold``.
    """
    base = _CONFIG_CLASSES[params.phase]
    rules = _rules_of(type(params))
    fields: dict[str, Any] = {}
    for name, declared in base.model_fields.items():
        description = (
            f"{params.phase}.{name}: {declared.description} "
            f"[{describe_bounds(rules[name])}; a change affects: {base.effect_of(name)}]"
        )
        field = FieldInfo.merge_field_infos(declared, default=getattr(params, name), description=description)
        fields[name] = (declared.annotation, field)
    return pydantic.create_model(base.__name__, __base__=base, __module__=__name__, **fields)


@cache
def _rules_of(kind: type[Params]) -> dict[str, Any]:
    """The JSON schema of each field. Making it takes as long as all else that a code location makes of a phase."""
    return kind.model_json_schema()["properties"]


def validate_run_config(
    curation: Curation,
    run_config: Mapping[str, Any],
    root: str,
    *,
    has_remote_workers: bool = False,
    are_clips_scored: bool = False,
) -> None:
    """Check the run config of all phases: bounds, rules between parameters, and that classes named in it exist.

    Dagster checks names and types at launch, but bounds only when a step builds its config, which may be hours later.

    Args:
        curation: the curation, with the values that the run config does not set.
        run_config: of the launch.
        root: the root.
        has_remote_workers: see `LaunchPolicy.check`.
        are_clips_scored: the run does not score clips any more. It ranks by the scores that they have, which may come
            from other filters than the run config names.

    Raises:
        ParamsError: names all errors of all phases. Nothing that `launch_policy` forbids was imported.
    """
    ops = run_config.get("ops") or {}
    if not curation.is_trusted:
        check_run_config(curation, run_config)
    values: dict[str, dict[str, Any]] = {}
    for phase, params in curation.params.items():
        launched = (ops.get(curation.op_name(params.asset)) or {}).get("config") or {}
        values[phase] = {**params.model_dump(), **_resolve_env_vars(launched)}
    validated = validate_all(values)
    if not curation.is_trusted:
        launch_policy(curation).check((validated[phase] for phase in PHASES), has_remote_workers=has_remote_workers)
    check_phases((validated[phase] for phase in PHASES), root)
    if not are_clips_scored:
        check_signals(validated["split"], validated["filter"])
        check_ranking(validated["filter"], validated["dedup"])
    check_embedder(validated["embed"], validated["dedup"], root)


def _resolve_env_vars(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with each ``{"env": NAME}``, Dagster's form of an environment variable, replaced by its value."""
    return {
        name: os.environ.get(value["env"]) if isinstance(value, dict) and set(value) == {"env"} else value
        for name, value in config.items()
    }
