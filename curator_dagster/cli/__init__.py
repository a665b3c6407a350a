"""The command line `curator`: runs the same assets without a Dagster server, and shows what is there.

Each module declares the arguments of some commands, whose work is done by `curator_dagster.commands`. Commands import
what they need when they are called: `curator --help` takes a fraction of a second, Dagster two.
"""

# Imported for the commands that they declare, which help lists in this order.
from curator_dagster.cli import runs, rows, trials, versions  # noqa: F401, I001
from curator_dagster.cli.application import app, main

__all__ = ["app", "main"]
