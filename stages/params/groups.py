"""All groups of parameters by name, and their validation from a user's values."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stages.errors import ParamsError, did_you_mean
from stages.params.base import Params
from stages.params.caption import CaptionParams
from stages.params.checks import CheckParams
from stages.params.dedup import DedupParams
from stages.params.embed import EmbedParams
from stages.params.executor import ExecutorParams
from stages.params.filter import FilterParams
from stages.params.messages import describe_errors
from stages.params.read import ReadParams
from stages.params.split import SplitParams
from stages.params.write import WriteParams

PHASES: dict[str, type[Params]] = {
    params.phase: params
    for params in (
        ReadParams,
        SplitParams,
        FilterParams,
        EmbedParams,
        CaptionParams,
        DedupParams,
        WriteParams,
    )
}
"""Parameter classes by phase, in the order of the phases."""

GROUPS: dict[str, type[BaseModel]] = {**PHASES, "executor": ExecutorParams, "checks": CheckParams}
"""Parameter classes by group, the part before the dot in ``split.threshold``."""

PARAM_NAMES = [f"{group}.{name}" for group, model in GROUPS.items() for name in model.model_fields]
"""Every parameter with its group: ``split.threshold``."""

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], group: str, values: dict[str, Any]) -> M:
    """Build parameters from values.

    Raises:
        ParamsError: names each wrong field with its value and the rule it broke.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        own = [f"{group}.{name}" for name in model.model_fields]
        raise ParamsError(describe_errors(error, group, dict.fromkeys([*own, *PARAM_NAMES]))) from error


def validate_all(config: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Build the parameters of every group from ``{group: {field: value}}``; other fields have their defaults.

    Raises:
        ParamsError: names every wrong group and field of all groups at once.
    """
    problems = [_unknown_group(group, values or {}) for group, values in config.items() if group not in GROUPS]
    built: dict[str, Any] = {}
    for group, model in GROUPS.items():
        try:
            built[group] = validate(model, group, config.get(group) or {})
        except ParamsError as error:
            problems.append(str(error))
    if problems:
        raise ParamsError("\n".join(problems))
    return built


def _unknown_group(group: str, values: dict[str, Any]) -> str:
    """The error of a group that does not exist, with the parameters or groups that are meant."""
    named = [f"{group}.{name}" for name in values]
    hints = [hint for name in named if (hint := did_you_mean(name, PARAM_NAMES))] or [did_you_mean(group, list(GROUPS))]
    groups = ", ".join(GROUPS)
    return f"{group} is no group of parameters.{''.join(hints) or f' The groups are: {groups}.'}"
