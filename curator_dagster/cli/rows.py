"""Commands that show what was made, or is being made: show, status, report and search."""

from enum import StrEnum
from typing import Annotated

import typer

from curator_dagster.cli.application import app, errors_as_messages
from curator_dagster.cli.arguments import WrittenRoot
from curator_dagster.commands.cli_params import ASSET_NAMES
from stages.errors import ParamsError


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


@app.command(short_help="Print rows, partitions, how a clip came to be, or why rows were lost.")
def show(
    root: WrittenRoot,
    asset: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(ASSET_NAMES)}, or embeddings.NAME of a further embedder; without it, why rows of "
            "all assets were lost."
        ),
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

    with errors_as_messages():
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


@app.command(short_help="Show what the runs at work do right now.")
def status(
    root: Annotated[str | None, typer.Argument(help="Where `curator run` writes to.")] = None,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of a Ray cluster, in place of ROOT; or 'auto'.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the phase in work: partitions, rows done, failed and left, rate, queues, workers by stage and node.

    Of a root it is read from what runs write there every few seconds, so that a run that died is told too; of a cluster
    it is asked from Ray.
    """
    from curator_dagster.commands.status import status_of_cluster, status_of_root

    with errors_as_messages():
        if (root is None) == (address is None):
            raise ParamsError("`curator status` requires ROOT or --address, one of them.")
        if root is not None:
            status_of_root(root, as_json=as_json)
        else:
            status_of_cluster(str(address), as_json=as_json)


@app.command(short_help="Write one HTML page about a root, for people without Dagster.")
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

    with errors_as_messages():
        typer.echo(f"Report: {write_report(root, output_file, max_mb)}")


@app.command(short_help="Find clips by what they show, by likeness and by columns.")
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
    embedder: Annotated[
        str,
        typer.Option(metavar="NAME", help="Whose vectors are compared, of embed.more; the first embedder's without."),
    ] = "",
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

    with errors_as_messages():
        query = Query(text, like, image, by.value, embedder)
        scope = Scope(asset, status.value, version, where)
        search_command(root, query, scope, top=top, index=index, output=Output(as_json, html))
