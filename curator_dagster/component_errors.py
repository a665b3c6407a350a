"""Errors of a component's YAML: each with file and line, and in the words of the command line."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import BaseModel, ValidationError

from curator_dagster.curation import Curation
from stages.errors import ParamsError
from stages.params import PARAM_NAMES, PHASES, DedupParams, FilterParams, SplitParams, describe_error
from stages.run import check_phases, check_ranking, check_signals, trusting


def check_param_groups(
    context: dg.ResolutionContext, values: Mapping[str, Any], groups: Mapping[str, type[BaseModel]]
) -> None:
    """Check the groups of parameters that a file sets.

    Args:
        context: at the attributes.
        values: as they stand in the file, with templates, by group.
        groups: the parameters of each group.

    Raises:
        ParamsError: names every wrong parameter of every group.
    """
    problems = [problem for group, given in values.items() for problem in _problems(context, group, given, groups)]
    if problems:
        raise ParamsError("\n".join(["The parameters are wrong.", *problems]))


def _problems(
    context: dg.ResolutionContext, group: str, given: Any, groups: Mapping[str, type[BaseModel]]
) -> Iterator[str]:
    resolved = context.at_path(group).resolve_value(given)
    try:
        groups[group].model_validate(resolved)
    except ValidationError as error:
        own = [f"{group}.{name}" for name in groups[group].model_fields]
        for problem in error.errors():
            line = describe_error(problem, group, dict.fromkeys([*own, *PARAM_NAMES]))
            yield f"{position(context, group, *problem['loc'])}: {line}"


@contextmanager
def errors_with_positions(context: dg.ResolutionContext) -> Iterator[None]:
    """Say of attributes that are no group of parameters, such as ``partitioning``, where the wrong one stands.

    Raises:
        ParamsError: names every wrong attribute.
    """
    try:
        yield
    except ValidationError as error:
        problems = [
            f"{position(context, *problem['loc'])}: {describe_error(problem, 'attributes', ())}"
            for problem in error.errors()
        ]
        raise ParamsError("\n".join(["The attributes are wrong.", *problems])) from None


def check_curation(context: dg.ResolutionContext, curation: Curation, root: str) -> None:
    """Check, where `dg check defs` asks, what `curator run` checks before any work: that named classes exist and fit.

    Not at every load: it imports the classes, with torch and OpenCV, which no web server needs.

    Raises:
        ParamsError: names the mistakes of all phases.
    """
    if "DAGSTER_IS_DEFS_VALIDATION_CLI" not in os.environ:
        return
    problems: list[str] = []
    for phase in PHASES:
        try:
            with trusting(curation.trust):
                check_phases([curation.params[phase]], root)
        except ParamsError as error:
            place = position_of(context, error, otherwise=phase)
            problems += [f"{place}: {line}" for line in str(error).splitlines()]
    split, scored, ranked = (curation.params[phase] for phase in ("split", "filter", "dedup"))
    if not problems and isinstance(split, SplitParams) and isinstance(scored, FilterParams):
        try:
            check_signals(split, scored)
        except ParamsError as error:
            problems += [f"{position_of(context, error)}: {line}" for line in str(error).splitlines()]
    if not problems and isinstance(scored, FilterParams) and isinstance(ranked, DedupParams):
        try:
            check_ranking(scored, ranked)
        except ParamsError as error:
            problems += [f"{position_of(context, error)}: {line}" for line in str(error).splitlines()]
    if problems:
        raise ParamsError("\n".join(["The parameters are wrong.", *problems]))


def position_of(context: dg.ResolutionContext, error: ParamsError, otherwise: str = "") -> str:
    """File and line of the parameter that an error is about, or of another where it names none."""
    keys = (error.param or otherwise).split(".")
    return position(context, *(int(key) if key.isdecimal() else key for key in keys))


def position(context: dg.ResolutionContext, *keys: str | int) -> str:
    """File and line of what stands below these keys, or of the nearest above; "attributes" where there is no file."""
    tree = context.source_position_tree
    return str(tree.lookup_closest_and_path([*context.path, *keys], None)[0]) if tree else "attributes"
