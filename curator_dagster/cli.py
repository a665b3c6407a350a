"""The command line `curator run | retry | show | search | report`: runs the same assets without a Dagster server.

Commands import what they need when they are called: `curator --help` takes a fraction of a second, Dagster two.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from curator_dagster.commands.cli_params import ASSET_NAMES, parse_params, parse_retry_params
from curator_dagster.commands.exit_codes import EXIT_FAILED, EXIT_WRONG_REQUEST
from curator_dagster.commands.params_help import OPTION, CommandWithParams
from stages.errors import FAILED_REASONS, CurationError, ManifestError, ParamsError, StorageError, did_you_mean
from stages.params import GROUPS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Status(StrEnum):
    """Outcomes of a row."""

    kept = "kept"
    rejected = "rejected"
    failed = "failed"


class SearchedStatus(StrEnum):
    """Outcomes of the rows that are searched."""

    kept = "kept"
    rejected = "rejected"
    failed = "failed"
    all = "all"


class By(StrEnum):
    """What a text is compared with."""

    auto = "auto"
    embeddings = "embeddings"
    captions = "captions"


class Format(StrEnum):
    """Output formats of rows."""

    table = "table"
    csv = "csv"
    json = "json"


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


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"curator-dagster {version('curator-dagster')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Long videos in, a clean set of short clips out: split, filter, embed, caption, dedup, write."""


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
        raise _exit_with_message(error) from error
    raise typer.Exit(code)


@app.command(cls=CommandWithParams)
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
        raise _exit_with_message(error) from error
    raise typer.Exit(code)


@app.command()
def show(
    root: WrittenRoot,
    asset: Annotated[
        str | None,
        typer.Argument(help=f"One of {', '.join(ASSET_NAMES)}; without it, why rows of all assets were lost."),
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only rows of this fate.")] = None,
    lineage: Annotated[str | None, typer.Option(metavar="CLIP_ID", help="How this clip came to be.")] = None,
    partitions: Annotated[
        bool, typer.Option("--partitions", help="What is inside each partition: videos, hours, size, date, names.")
    ] = False,
    output_format: Annotated[Format, typer.Option("--format", help="table has the main columns, csv and json all.")] = (
        Format.table
    ),
    limit: Annotated[
        int | None, typer.Option(min=0, help="At most so many rows; 0 for all. A table has 50 by default.")
    ] = None,
) -> None:
    """Print the rows of an asset, how a clip came to be, what is in the partitions, or the reasons of all assets."""
    from curator_dagster.commands.show import print_lineage, print_reasons, print_rows
    from curator_dagster.commands.show_partitions import print_partitions

    with _errors_as_messages():
        if partitions and (asset or status or lineage):
            raise ParamsError("--partitions must stand without ASSET, --status and --lineage. Leave those out.")
        if partitions:
            print_partitions(root, output_format.value, limit=limit)
        elif asset is None and lineage is None:
            print_reasons(root, output_format.value, status=status and status.value)
        elif asset is None or lineage is not None:
            print_lineage(root, asset, output_format.value, clip_id=str(lineage))
        else:
            print_rows(root, asset, output_format.value, status=status and status.value, limit=limit)


@app.command()
def report(
    root: WrittenRoot,
    output_file: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="Where the page goes; ROOT/report.html where ROOT is a folder."),
    ] = None,
    max_mb: Annotated[
        float, typer.Option(min=1, help="Largest size of the page; clips without room for a preview are counted in it.")
    ] = 40.0,
) -> None:
    """Write one HTML page about a root for people without Dagster: what was kept and why not, and clips to look at."""
    from curator_dagster.commands.report import write_report

    with _errors_as_messages():
        typer.echo(f"Report: {write_report(root, output_file, max_mb)}")


@app.command()
def search(
    root: Annotated[str, typer.Argument(help="Where `curator run` wrote to.")],
    text: Annotated[str | None, typer.Argument(help="What the clips should show, in words.")] = None,
    like: Annotated[str | None, typer.Option(metavar="CLIP_ID", help="Clips that look like this one.")] = None,
    image: Annotated[str | None, typer.Option(metavar="FILE", help="Clips that look like this picture.")] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help="Only clips that meet it: \"camera_motion = 'pan' AND height >= 720\"."),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="At most so many clips; 0 for all.")] = 20,
    by: Annotated[
        By,
        typer.Option(help="What TEXT is compared with; auto: pictures, where their model has a text tower."),
    ] = By.auto,
    asset: Annotated[
        str, typer.Option(help="Whose clips: clips, filtered_clips, embeddings, unique_clips or dataset.")
    ] = "unique_clips",
    status: Annotated[SearchedStatus, typer.Option(help="Only rows of this fate.")] = SearchedStatus.kept,
    version: Annotated[str | None, typer.Option(help="Number or tag of a version of the root; the newest without.")] = (
        None
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print all columns, as JSON.")] = False,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write a page with pictures of the clips.")] = None,
    index: Annotated[
        bool | None,
        typer.Option(
            "--index/--no-index",
            help="Keep vectors under the root for the next search, those of embeddings too, or none. By default those "
            "of captions.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find clips by what they show, by a clip or picture that they look like, and by conditions on their columns.

    TEXT, --like and --image may stand together: then their mean counts. --where takes columns of the clips and scores
    of filters, with AND, OR, NOT, = != < <= > >=, IN, BETWEEN, LIKE, IS NULL; a text stands in single quotes.
    """
    from curator_dagster.commands.search import Output, search_command
    from stages.search import Query, Scope

    with _errors_as_messages():
        query = Query(text, like, image, by.value)
        scope = Scope(asset, status.value, version, where)
        search_command(root, query, scope, top=top, index=index, output=Output(as_json, html))


@app.command()
def tag(
    root: WrittenRoot,
    name: Annotated[str, typer.Argument(help="Letters, digits, '.', '-' and '_', a letter first.")],
    version: Annotated[int | None, typer.Option(help="Number of the version; the newest without it.")] = None,
) -> None:
    """Name a version of a root, which is kept from then on: `read_manifest(root, "dataset", version=NAME)`."""
    from stages.manifest import tag_version
    from stages.storage import Storage

    with _errors_as_messages():
        number = tag_version(Storage(root), name, version)
    typer.echo(f"{name}: version {number} of {root}")


@app.command(name="what-if")
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

    with _errors_as_messages():
        what_if_command(root, config=config, against=against, assignments=assignments, keep=keep)


class ModelsAction(StrEnum):
    """What `curator models` does beside showing."""

    fetch = "fetch"


@app.command()
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

    with _errors_as_messages():
        code = models_command(parse_params(config, assignments), fetches=action is not None, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def vacuum(
    root: WrittenRoot,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest versions stay; tagged ones always do.")] = 10,
    min_age_h: Annotated[
        float, typer.Option(min=0, help="Younger files stay: a run may be writing them. In hours.")
    ] = 24.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it. Without this, it is only counted.")] = False,
) -> None:
    """Count, or remove, what no kept version of a root names: versions, rows, clips, frames."""
    from curator_dagster.commands.vacuum import vacuum_command

    with _errors_as_messages():
        vacuum_command(root, keep=keep, min_age_s=min_age_h * 3600, deletes=delete)


@app.command()
def forget(
    root: WrittenRoot,
    uri: Annotated[str, typer.Argument(help="The source, as the column `uri` has it; or the path of a local file.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is removed.")] = False,
) -> None:
    """Take a source and everything made of it out of a root: rows of all versions, frames, clips.

    It is not taken up again, not even with other content. No run should be at work meanwhile. On a terminal it asks
    first; where it was killed, the same command ends it.
    """
    from curator_dagster.commands.forget import forget_command

    with _errors_as_messages():
        code = forget_command(root, uri, asks=not yes and sys.stdin.isatty())
    raise typer.Exit(code)


def _is_of_environment(context: typer.Context) -> bool:
    """True where no --config is given, so that CURATOR_CONFIG counts."""
    source = context.get_parameter_source("config")
    return source is not None and source.name == "ENVIRONMENT"


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """End the command with a line that says what is wrong: the request, or what it needs."""
    try:
        yield
    except (StorageError, OSError) as error:
        raise _exit_with_message(error, EXIT_FAILED) from error
    except CurationError as error:
        raise _exit_with_message(error) from error


def _exit_with_message(error: Exception, code: int = EXIT_WRONG_REQUEST) -> typer.Exit:
    typer.echo(f"curator: {error}", err=True)
    return typer.Exit(code)


def main() -> None:
    """The command `curator`."""
    app()
