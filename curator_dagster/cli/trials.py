"""Commands that say what a configuration would do or needs: what-if and models."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from curator_dagster.cli.application import app, errors_as_messages
from curator_dagster.cli.arguments import ConfigFile, Set, WrittenRoot
from curator_dagster.commands.cli_params import parse_params


@app.command(name="what-if", short_help="Show what other parameters of filter would keep; writes nothing.")
def what_if(
    root: WrittenRoot,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML with parameters to try, in place of those last used.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="YAML with parameters to compare with, in place of what is now.")
    ] = None,
    assignments: Set = [],  # noqa: B006 - typer copies it
    keep: Annotated[
        float | None, typer.Option("--keep", help="Propose thresholds that keep this share of the clips, as 0.7.")
    ] = None,
) -> None:
    """Show what other parameters of filter would keep and reject, with hours of video, from stored scores.

    Nothing is measured or written. `curator run` with the same parameters then does it.
    """
    from curator_dagster.commands.what_if import what_if_command

    with errors_as_messages():
        what_if_command(root, config=config, against=against, assignments=assignments, keep=keep)


class ModelsAction(StrEnum):
    """What `curator models` does beside showing."""

    fetch = "fetch"


@app.command(short_help="Show the models that a configuration needs, or fetch them.")
def models(
    action: Annotated[
        ModelsAction | None, typer.Argument(help="'fetch' brings what is on the hub to this machine first.")
    ] = None,
    config: ConfigFile = None,
    assignments: Set = [],  # noqa: B006 - typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with sizes in bytes.")] = False,
) -> None:
    """Show the models that a configuration needs: where they lie, size, memory, licence.

    A branch is the commit that this machine has for it; `curator models fetch` asks the hub anew. Exits with 1 where
    a model is not here.
    """
    from curator_dagster.commands.models import models_command

    with errors_as_messages():
        code = models_command(parse_params(config, assignments), fetches=action is not None, as_json=as_json)
    raise typer.Exit(code)
