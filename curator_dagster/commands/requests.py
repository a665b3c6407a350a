"""What a command line asks for: parameters from a file and from ``--set``, and the text that explains them all.

Imports neither Dagster nor Ray, so that help and a wrong name are answered at once.
"""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stages.errors import ParamsError
from stages.params import GROUPS, PHASES, describe_bounds, validate_all

Config = dict[str, dict[str, Any]]
"""Values by group and parameter."""

ASSET_NAMES = [params.asset for params in PHASES.values()]

_WIDTH = 100


def requested_params(file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Validated parameters of every group; assignments win over the file, and what neither names has its default.

    Raises:
        ParamsError: names everything that is wrong; where a name is, also all that the group knows.
    """
    config = _asked(file, assignments)
    try:
        return validate_all(config)
    except ParamsError as error:
        raise ParamsError("\n".join([str(error), *_known_names(config)])) from error


def retry_params(file: Path | None, assignments: Iterable[str]) -> Config:
    """What is asked for, where only parameters may be named whose change undoes nothing; validated.

    Raises:
        ParamsError: as `requested_params`, or one is named that undoes what was made.
    """
    assignments = list(assignments)
    requested_params(file, assignments)
    asked = _asked(file, assignments)
    undoing = [
        f"{phase}.{name}"
        for phase, model in PHASES.items()
        for name in asked.get(phase, {})
        if model.effect_of(name) != "none" or name == "rebuild"
    ]
    if undoing:
        raise ParamsError(
            "A retry takes the parameters that the tables were made with, and new ones only where they undo nothing "
            f"(of the executor, or with effect 'none'), got {', '.join(undoing)}. Use `curator run` for others."
        )
    return asked


def _asked(file: Path | None, assignments: Iterable[str]) -> Config:
    """What is asked for, not yet validated."""
    config = read_config(file) if file else {}
    for group, values in parse_assignments(assignments).items():
        config[group] = {**config.get(group, {}), **values}
    return config


def read_config(file: Path) -> Config:
    """Values of a YAML file of the form ``{split: {threshold: 0.3}}``.

    Raises:
        ParamsError: it is no YAML, or of another form.
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


def parse_assignments(assignments: Iterable[str]) -> Config:
    """Values of ``phase.param=value``, read as YAML; a parameter that is a text takes whatever is written.

    Raises:
        ParamsError: one is not of this form.
    """
    config: Config = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        group, dot, parameter = name.strip().partition(".")
        if not equals or not dot:
            raise ParamsError(f"--set must be PHASE.PARAM=VALUE, as in split.threshold=0.3, got {assignment!r}.")
        config.setdefault(group, {})[parameter] = _value(group, parameter, text)
    return config


def _value(group: str, parameter: str, text: str) -> Any:
    """YAML would read the prompt ``no`` as false and ``what: now`` as a mapping."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        return value
    return text if _fields(group).get(parameter, {}).get("type") == "string" else value


def _fields(group: str) -> dict[str, dict[str, Any]]:
    return GROUPS[group].model_json_schema()["properties"] if group in GROUPS else {}


def _known_names(config: Config) -> list[str]:
    """All parameters of each group in which a wrong name was given; of all groups where a group is wrong."""
    if any(group not in GROUPS for group in config):
        return ["", *parameter_lines(GROUPS)]
    wrong = [group for group, values in config.items() if set(values) - set(_fields(group))]
    return ["", *parameter_lines(wrong)] if wrong else []


def parameter_lines(groups: Iterable[str]) -> list[str]:
    """Every parameter of the groups: name, bounds, default and meaning."""
    lines: list[str] = []
    for group in groups:
        for name, field in _fields(group).items():
            default = json.dumps(field.get("default"), ensure_ascii=False)
            head = f"{group}.{name}: {describe_bounds(field)}, default {default}"
            lines += textwrap.wrap(head, _WIDTH, initial_indent="  ", subsequent_indent="    ")
            lines += textwrap.wrap(
                field.get("description", ""), _WIDTH, initial_indent="      ", subsequent_indent="      "
            )
    return lines
