"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from curator_dagster.commands.params_help import OPTION
from stages.params import GROUPS

Root = Annotated[str, typer.Option("--root", envvar="CURATOR_ROOT", help="Where everything is written.")]
WrittenRoot = Annotated[str, typer.Argument(help="Where `curator run` wrote to.")]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PHASE.PARAM=VALUE",
        help="A parameter; wins over --config. A list as 'filter.filters=[size,motion]', or filter.filters+=black.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", envvar="CURATOR_CONFIG", help="YAML with parameters: {split: {threshold: 0.3}}."),
]
HelpParams = Annotated[
    str, typer.Option(OPTION, metavar="[GROUP]", help=f"Show all parameters, or those of {', '.join(GROUPS)}.")
]
