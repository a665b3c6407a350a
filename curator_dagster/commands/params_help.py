"""The help text of parameters, which ``--help-params [GROUP]`` prints. Imports neither Dagster nor Ray."""

import json
import textwrap
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand

from curator_dagster.commands.exit_codes import EXIT_WRONG_REQUEST
from stages.errors import did_you_mean
from stages.params import GROUPS, describe_bounds

OPTION = "--help-params"
_WIDTH = 100


class CommandWithParams(TyperCommand):
    """A command that takes ``--help-params [GROUP]``; an option with a value that may be left out is not in Typer."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print the parameters and exit where the option is among the arguments, whatever else is."""
        for position, argument in enumerate(args):
            name, _, value = argument.partition("=")
            if name == OPTION:
                following = [each for each in args[position + 1 :][:1] if not each.startswith("-")]
                _print_params([value] if value else following)
        return super().parse_args(ctx, args)


def _print_params(groups: list[str]) -> None:
    """Print the parameters of the group, or of all groups for none, and exit."""
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        message = f"{OPTION} must be followed by one of {', '.join(GROUPS)}, got {unknown[0]!r}."
        typer.echo(f"curator: {message}{did_you_mean(unknown[0], list(GROUPS))}", err=True)
        raise typer.Exit(EXIT_WRONG_REQUEST)
    typer.echo("\n".join(parameter_help(groups or GROUPS)))
    raise typer.Exit


def parameter_help(groups: Iterable[str]) -> list[str]:
    """Lines of help on every parameter of the groups: name, bounds, default and description."""
    lines: list[str] = []
    for group in groups:
        for name, field in GROUPS[group].model_json_schema()["properties"].items():
            default = json.dumps(field.get("default"), ensure_ascii=False)
            head = f"{group}.{name}: {describe_bounds(field)}, default {default}"
            lines += textwrap.wrap(head, _WIDTH, initial_indent="  ", subsequent_indent="    ")
            lines += textwrap.wrap(
                field.get("description", ""), _WIDTH, initial_indent="      ", subsequent_indent="      "
            )
    return lines
