"""Commands that compute: run and retry."""

import sys
from typing import Annotated

import typer

from curator_dagster.cli.application import app, exit_with_message
from curator_dagster.cli.arguments import ConfigFile, HelpParams, Root, Set, WrittenRoot
from curator_dagster.commands.cli_params import ASSET_NAMES, parse_params, parse_retry_params
from curator_dagster.commands.params_help import CommandWithParams
from stages.errors import FAILED_REASONS, ManifestError, ParamsError, did_you_mean


@app.command(cls=CommandWithParams)
def run(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A folder of videos, one video, or an fsspec URL.")],
    root: Root,
    config: ConfigFile = None,
    assignments: Set = [],  # noqa: B006 - typer copies it
    until: Annotated[str, typer.Option(help="The last asset to make.")] = "dataset",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before tables are made with other parameters than before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show by phase what would be reused and computed; write nothing.")
    ] = False,
    help_params: HelpParams = "",
) -> None:
    """Curate videos; only what is new or changed is computed.

    Where tables were last made with other parameters, it says so first, and asks on a terminal.

    Exits with 0 when every phase committed, even where single rows failed; with 1 when a phase stopped or more of
    its rows failed than max_failed_fraction allows; with 2 when the request is wrong.
    """
    try:
        params = parse_params(config, assignments)
        if config and _is_of_environment(context):
            typer.echo(f"parameters: {config} (CURATOR_CONFIG)", err=True)
        if until not in ASSET_NAMES:
            meant = did_you_mean(until, ASSET_NAMES)
            raise ParamsError(f"--until must be one of {', '.join(ASSET_NAMES)}, got {until!r}.{meant}")
        if dry_run:
            from curator_dagster.commands.dry_run import dry_run_command

            raise typer.Exit(dry_run_command(source, root, params, until=until))
        from curator_dagster.commands.run_and_retry import run_command

        code = run_command(source, root, params, until=until, asks=not yes and sys.stdin.isatty())
    except ParamsError as error:
        raise exit_with_message(error) from error
    raise typer.Exit(code)


@app.command(cls=CommandWithParams, short_help="Work again on failed rows, and on what follows from them.")
def retry(
    context: typer.Context,
    root: WrittenRoot,
    asset: Annotated[list[str], typer.Option(help="Only failed rows of this asset; may be given again.")] = [],  # noqa: B006 - typer copies it
    reason: Annotated[
        list[str],
        typer.Option(help=f"Only rows that failed so; may be given again. One of {', '.join(FAILED_REASONS)}."),
    ] = [],  # noqa: B006 - typer copies it
    config: ConfigFile = None,
    assignments: Set = [],  # noqa: B006 - typer copies it
    help_params: HelpParams = "",
) -> None:
    """Work again on failed rows, and make what follows from those that go well.

    Each table is made with the parameters that it was made with before; --set and --config take such as undo nothing:
    executor.stall_timeout_s, caption.base_url. Of CURATOR_CONFIG only these count. `curator show ROOT` counts the
    reasons. Exit codes as of `run`, but that failed rows of a retry are never too many.
    """
    try:
        params = parse_retry_params(config, assignments, file_is_of_environment=_is_of_environment(context))
        from curator_dagster.commands.run_and_retry import retry_command

        code = retry_command(root, params, assets=asset, reasons=reason)
    except (ParamsError, ManifestError) as error:
        raise exit_with_message(error) from error
    raise typer.Exit(code)


def _is_of_environment(context: typer.Context) -> bool:
    """True where no --config is given, so that CURATOR_CONFIG counts."""
    source = context.get_parameter_source("config")
    return source is not None and source.name == "ENVIRONMENT"
