"""`curator models` and `curator models fetch`: the models that a configuration needs, and bringing them here."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import typer
from rich.table import Table

from curator_dagster.commands.console import build_table, stdout_console
from curator_dagster.commands.exit_codes import EXIT_FAILED
from stages.params import PHASES
from stages.run import ModelNeed, fetch_models, model_needs

MIB = 1 << 20


def models_command(params: dict[str, Any], *, fetches: bool, as_json: bool) -> int:
    """Show the models, after they were fetched where that is asked for; the exit code is 1 where one is not here."""
    given = [params[phase] for phase in PHASES]
    needs = fetch_models(given) if fetches else model_needs(given)
    if as_json:
        typer.echo(json.dumps([asdict(need) for need in needs], indent=2))
    else:
        stdout_console().print(_table(needs))
    return 0 if all(need.is_here for need in needs) else EXIT_FAILED


def _table(needs: Iterable[ModelNeed]) -> Table:
    rows = [
        (
            need.phase,
            need.model,
            need.commit[:8],
            "yes" if need.is_here else "no",
            _mib(need.size_bytes),
            _mib(need.memory_bytes),
            need.licence,
            "; ".join(text for text in (need.note, need.place) if text),
        )
        for need in needs
    ]
    return build_table(("phase", "model", "commit", "here", "MiB", "MiB in memory", "licence", "path"), rows)


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f}" if size else ""
