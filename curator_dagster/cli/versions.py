"""Commands on versions of a root, and on what is taken out of it: tag, vacuum and forget."""

import sys
from typing import Annotated

import typer

from curator_dagster.cli.application import app, errors_as_messages
from curator_dagster.cli.arguments import WrittenRoot


@app.command(short_help="Name a version of a root, which is kept from then on.")
def tag(
    root: WrittenRoot,
    name: Annotated[str, typer.Argument(help="Letters, digits, '.', '-' and '_', a letter first.")],
    version: Annotated[int | None, typer.Option(help="Number of the version; the newest without it.")] = None,
) -> None:
    """Name a version of a root, which is kept from then on: `read_manifest(root, "dataset", version=NAME)`."""
    from stages.manifest import tag_version
    from stages.storage import Storage

    with errors_as_messages():
        number = tag_version(Storage(root), name, version)
    typer.echo(f"{name}: version {number} of {root}")


@app.command(short_help="Count, or remove, what no kept version of a root names.")
def vacuum(
    root: WrittenRoot,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest versions stay; tagged ones always do.")] = 10,
    min_age_h: Annotated[
        float, typer.Option(min=0, help="Younger files stay: a run may be writing them. In hours.")
    ] = 24.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it. Without this, it is only counted.")] = False,
) -> None:
    """Count, or remove, what no kept version of a root names: versions, rows, clips, frames.

    Small row files of what is kept are merged with --delete, so that reading a table takes fewer requests.
    """
    from curator_dagster.commands.vacuum import vacuum_command

    with errors_as_messages():
        vacuum_command(root, keep=keep, min_age_s=min_age_h * 3600, deletes=delete)


@app.command(short_help="Take a source and everything made of it out of a root.")
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

    with errors_as_messages():
        code = forget_command(root, uri, asks=not yes and sys.stdin.isatty())
    raise typer.Exit(code)
