"""The application to which commands are added, its own options, and how errors end a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated

import typer

from curator_dagster.commands.exit_codes import EXIT_FAILED, EXIT_WRONG_REQUEST
from stages.errors import CurationError, StorageError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """End the command with a line that says what is wrong: the request, or what it needs."""
    try:
        yield
    except (StorageError, OSError) as error:
        raise exit_with_message(error, EXIT_FAILED) from error
    except CurationError as error:
        raise exit_with_message(error) from error


def exit_with_message(error: Exception, code: int = EXIT_WRONG_REQUEST) -> typer.Exit:
    """Print what is wrong; the exit to raise."""
    typer.echo(f"curator: {error}", err=True)
    return typer.Exit(code)


def main() -> None:
    """The command `curator`."""
    app()
