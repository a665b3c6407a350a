"""What a run can be launched with: the parameters of each phase, as Dagster config."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

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


def plain_params(config: Params) -> Params:
    """The same values without Dagster's class, as they cross to workers."""
    return PHASES[config.phase].model_validate(config.model_dump())


def check_run_config(run_config: Mapping[str, Any], root: str) -> None:
    """Nothing that a run was launched with breaks a rule or names a class that is not there, in whatever phase.

    Dagster checks names and types when a run is launched, but bounds only where a step builds its config: after
    hours of other steps, without this.

    Raises:
        ParamsError: names everything that is wrong in all phases at once.
    """
    ops = run_config.get("ops") or {}
    launched = {phase: ops.get(params.asset) or {} for phase, params in PHASES.items()}
    params = validate_all({phase: _from_environment(op.get("config") or {}) for phase, op in launched.items()})
    check_phases((params[phase] for phase in PHASES), root)


def _from_environment(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values given as ``{"env": NAME}``, which is how Dagster writes them, are looked up."""
    return {
        name: os.environ.get(value["env"]) if isinstance(value, dict) and set(value) == {"env"} else value
        for name, value in config.items()
    }
