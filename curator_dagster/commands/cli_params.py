"""Parses parameters from ``--config`` and ``--set``.

Imports neither Dagster nor Ray, so that errors of names appear at once.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stages.errors import ParamsError, did_you_mean
from stages.params import GROUPS, PARAM_NAMES, PHASES, validate_all

ParamValues = dict[str, dict[str, Any]]
"""Values by group and parameter."""

ASSET_NAMES = [params.asset for params in PHASES.values()]


def parse_params(file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Validated parameters of every group; assignments override the file, other parameters have their defaults.

    Raises:
        ParamsError: names all errors, then says how a list is written or where all parameters are listed.
    """
    config = _merge_values(file, assignments)
    try:
        return validate_all(config)
    except ParamsError as error:
        raise ParamsError("\n".join([str(error), *_hints(config)])) from error


def parse_retry_params(
    file: Path | None, assignments: Iterable[str], *, file_is_of_environment: bool = False
) -> ParamValues:
    """Values for a retry, validated; only parameters whose change invalidates no rows are allowed.

    Args:
        file: as of `parse_params`.
        assignments: as of `parse_params`.
        file_is_of_environment: the file describes whole runs, so that what a retry cannot take is left out.

    Raises:
        ParamsError: as `parse_params`, or a parameter is named that invalidates rows.
    """
    assignments = list(assignments)
    parse_params(file, assignments)
    if file and file_is_of_environment:
        config = read_config_file(file)
        for group, name in _invalidating(config):
            del config[group][name]
        values = _assign(config, assignments)
    else:
        values = _merge_values(file, assignments)
    if invalidating := [f"{group}.{name}" for group, name in _invalidating(values)]:
        raise ParamsError(
            "A retry takes the parameters that the tables were made with, and new ones only where they undo nothing "
            f"(of the executor, or with effect 'none'), got {', '.join(invalidating)}. Use `curator run` for others."
        )
    return values


def _invalidating(values: ParamValues) -> list[tuple[str, str]]:
    """Groups and names of the parameters whose change invalidates rows."""
    return [
        (phase, name)
        for phase, model in PHASES.items()
        for name in values.get(phase, {})
        if model.effect_of(name) != "none" or name == "rebuild"
    ]


def _merge_values(file: Path | None, assignments: Iterable[str]) -> ParamValues:
    """Values of the file, overridden by the assignments; not validated."""
    return _assign(read_config_file(file) if file else {}, assignments)


def read_config_file(file: Path) -> ParamValues:
    """Values of a YAML file of the form ``{split: {threshold: 0.3}}``.

    Raises:
        ParamsError: the file is missing, not YAML, or has another form.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParamsError(f"--config, or CURATOR_CONFIG, must name a file that can be read, got {error}.") from error
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8; what looks like a date and is none
        raise ParamsError(f"--config must be a YAML file, got {str(file)!r}: {error}.") from error
    data = {} if data is None else data
    if not isinstance(data, dict) or not all(isinstance(values, dict | None) for values in data.values()):
        raise ParamsError(
            f"--config must hold groups of parameters, as in 'split: {{threshold: 0.3}}', got {str(file)!r}."
        )
    return {str(group): {str(name): value for name, value in (values or {}).items()} for group, values in data.items()}


def parse_assignments(assignments: Iterable[str], base: ParamValues | None = None) -> ParamValues:
    """Values of ``phase.param=value``, see `_assign`, on top of others."""
    return _assign(base or {}, assignments)


def _assign(config: ParamValues, assignments: Iterable[str]) -> ParamValues:
    """The values with ``phase.param=value`` set, in this order; ``phase.param+=value`` adds to a list.

    Values are read as YAML; that of a string parameter is taken literally.

    Raises:
        ParamsError: an assignment has another form, or adds to what is no list.
    """
    config = {group: dict(values) for group, values in config.items()}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        adds = name.endswith("+")
        group, dot, parameter = name.removesuffix("+").strip().partition(".")
        if not equals or not dot:
            meant = did_you_mean(name, [known for known in PARAM_NAMES if known.endswith(f".{name}")])
            raise ParamsError(f"--set must be PHASE.PARAM=VALUE, as in split.threshold=0.3, got {assignment!r}.{meant}")
        value = _parse_value(group, parameter, text)
        values = config.setdefault(group, {})
        values[parameter] = _with_added(values, group, parameter, value) if adds else value
    return config


def _with_added(values: dict[str, Any], group: str, parameter: str, value: Any) -> Any:
    """The list so far, else the default one, with the value or values added that it does not hold yet."""
    schema = _field_schemas(group).get(parameter)
    if schema is None:  # an unknown name, which validation reports
        return value
    if schema.get("type") != "array":
        raise ParamsError(f"--set {group}.{parameter}+= requires a list of values; {group}.{parameter} is none. Use =.")
    before = values.get(parameter, schema["default"])
    if not isinstance(before, list):  # a mistake of the file, which validation reports
        return before
    added = value if isinstance(value, list) else [value]
    return [*before, *(each for each in added if each not in before)]


def _parse_value(group: str, parameter: str, text: str) -> Any:
    """The value as YAML, except of strings: YAML reads the prompt ``no`` as false and ``what: now`` as a mapping."""
    schema = _field_schemas(group).get(parameter, {})
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # a ValueError of what looks like a date and is none
        # YAML takes the asterisk of [*.mp4,*.mov] for a reference.
        is_list = schema.get("type") == "array" and text.startswith("[") and text.endswith("]")
        return [part.strip().strip("'\"") for part in text[1:-1].split(",")] if is_list else text
    if isinstance(value, str):
        return value
    return text if schema.get("type") == "string" else value


def _field_schemas(group: str) -> dict[str, dict[str, Any]]:
    return GROUPS[group].model_json_schema()["properties"] if group in GROUPS else {}


def _hints(config: ParamValues) -> list[str]:
    """A last line: how a list is written where one is wanted, else where the parameters are listed."""
    for group, values in config.items():
        for name, value in values.items():
            if _field_schemas(group).get(name, {}).get("type") == "array" and not isinstance(value, list):
                items = "" if value is None else str(value).replace(" ", "")
                added = items.partition(",")[0] or "VALUE"
                return [
                    f"Write a list as --set '{group}.{name}=[{items}]', or add to it: --set {group}.{name}+={added}"
                ]
    wrong = [
        group for group, values in config.items() if group not in GROUPS or set(values) - set(_field_schemas(group))
    ]
    if not wrong:
        return []
    group = f" {wrong[0]}" if len(wrong) == 1 and wrong[0] in GROUPS else ""
    return [f"`curator run --help-params{group}` lists the parameters{' of' + group if group else ''}."]
