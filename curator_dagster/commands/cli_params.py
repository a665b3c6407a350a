"""Parses parameters from ``--config`` and ``--set``, and prints the help text of all parameters.

Imports neither Dagster nor Ray, so that help and errors of names appear at once.
"""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stages.errors import ParamsError
from stages.params import GROUPS, PHASES, describe_bounds, validate_all

ParamValues = dict[str, dict[str, Any]]
"""Values by group and parameter."""

ASSET_NAMES = [params.asset for params in PHASES.values()]

_WIDTH = 100


def parse_params(file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Validated parameters of every group; assignments override the file, other parameters have their defaults.

    Raises:
        ParamsError: names all errors; where a name is unknown, also lists the parameters of the group.
    """
    config = _merge_values(file, assignments)
    try:
        return validate_all(config)
    except ParamsError as error:
        raise ParamsError("\n".join([str(error), *_help_for_wrong_names(config)])) from error


def parse_retry_params(file: Path | None, assignments: Iterable[str]) -> ParamValues:
    """Values for a retry, validated; only parameters whose change invalidates no rows are allowed.

    Raises:
        ParamsError: as `parse_params`, or a parameter is named that invalidates rows.
    """
    assignments = list(assignments)
    parse_params(file, assignments)
    values = _merge_values(file, assignments)
    invalidating = [
        f"{phase}.{name}"
        for phase, model in PHASES.items()
        for name in values.get(phase, {})
        if model.effect_of(name) != "none" or name == "rebuild"
    ]
    if invalidating:
        raise ParamsError(
            "A retry takes the parameters that the tables were made with, and new ones only where they undo nothing "
            f"(of the executor, or with effect 'none'), got {', '.join(invalidating)}. Use `curator run` for others."
        )
    return values


def _merge_values(file: Path | None, assignments: Iterable[str]) -> ParamValues:
    """Values of the file, overridden by the assignments; not validated."""
    config = read_config_file(file) if file else {}
    for group, values in parse_assignments(assignments).items():
        config[group] = {**config.get(group, {}), **values}
    return config


def read_config_file(file: Path) -> ParamValues:
    """Values of a YAML file of the form ``{split: {threshold: 0.3}}``.

    Raises:
        ParamsError: the file is not YAML, or has another form.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"--config must be a YAML file, got {str(file)!r}: {error}.") from error
    data = {} if data is None else data
    if not isinstance(data, dict) or not all(isinstance(values, dict | None) for values in data.values()):
        raise ParamsError(
            f"--config must hold groups of parameters, as in 'split: {{threshold: 0.3}}', got {str(file)!r}."
        )
    return {str(group): {str(name): value for name, value in (values or {}).items()} for group, values in data.items()}


def parse_assignments(assignments: Iterable[str]) -> ParamValues:
    """Values of ``phase.param=value``, read as YAML; that of a string parameter is taken literally.

    Raises:
        ParamsError: an assignment has another form.
    """
    config: ParamValues = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        group, dot, parameter = name.strip().partition(".")
        if not equals or not dot:
            raise ParamsError(f"--set must be PHASE.PARAM=VALUE, as in split.threshold=0.3, got {assignment!r}.")
        config.setdefault(group, {})[parameter] = _parse_value(group, parameter, text)
    return config


def _parse_value(group: str, parameter: str, text: str) -> Any:
    """The value as YAML, except of strings: YAML reads the prompt ``no`` as false and ``what: now`` as a mapping."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        return value
    return text if _field_schemas(group).get(parameter, {}).get("type") == "string" else value


def _field_schemas(group: str) -> dict[str, dict[str, Any]]:
    return GROUPS[group].model_json_schema()["properties"] if group in GROUPS else {}


def _help_for_wrong_names(config: ParamValues) -> list[str]:
    """Help on each group with an unknown parameter; on all groups where a group is unknown."""
    if any(group not in GROUPS for group in config):
        return ["", *parameter_help(GROUPS)]
    wrong = [group for group, values in config.items() if set(values) - set(_field_schemas(group))]
    return ["", *parameter_help(wrong)] if wrong else []


def parameter_help(groups: Iterable[str]) -> list[str]:
    """Lines of help on every parameter of the groups: name, bounds, default and description."""
    lines: list[str] = []
    for group in groups:
        for name, field in _field_schemas(group).items():
            default = json.dumps(field.get("default"), ensure_ascii=False)
            head = f"{group}.{name}: {describe_bounds(field)}, default {default}"
            lines += textwrap.wrap(head, _WIDTH, initial_indent="  ", subsequent_indent="    ")
            lines += textwrap.wrap(
                field.get("description", ""), _WIDTH, initial_indent="      ", subsequent_indent="      "
            )
    return lines
