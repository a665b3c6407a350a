"""`curator search`: the clips that are found, as a table, as JSON, or as a page with their pictures."""

import math
import os
import sys
from dataclasses import dataclass

import pyarrow as pa

from curator_dagster.commands.console import build_table, stderr_console, stdout_console, terminal_text
from curator_dagster.commands.show import write_json
from curator_dagster.report.search_page import search_page
from stages.errors import ParamsError
from stages.search import Found, Query, Scope, find_clips
from stages.storage import Storage, normalize_location

_COLUMNS = {
    "query_similarity": "similarity",
    "clip_id": "clip_id",
    "status": "status",
    "caption": "caption",
    "start_s": "start_s",
    "end_s": "end_s",
    "uri": "uri",
}
"""Columns of the table, under the name that stands above each."""
_NUMBERS = ("similarity", "start_s", "end_s")
_NARROW = 100
"""Width of a terminal below which times are left out."""


@dataclass(frozen=True)
class Output:
    """How the result is shown.

    Attributes:
        as_json: as JSON, in place of a table.
        html: location of a page to write; None for none.
    """

    as_json: bool = False
    html: str | None = None


def search_command(root: str, query: Query, scope: Scope, *, top: int, index: bool | None, output: Output) -> None:
    """Search, and print or write what is found; how it was searched goes to standard error.

    Raises:
        ParamsError: the request is wrong, or a model is not there.
        ManifestError: a table is not made, or a file is missing or damaged.
        StorageError: the store does not answer.
    """
    if output.html is not None and os.path.isdir(normalize_location(output.html)):
        raise ParamsError(f"--html must be a file, got {output.html}. Name a file in it.")
    found = find_clips(root, query, scope, top=top, index=index)
    for note in found.notes:
        stderr_console().print(note)
    if output.html is not None:
        folder, _, name = normalize_location(output.html).rpartition("/")
        Storage(folder or "/").write_bytes(name, search_page(Storage(root), query, scope, found).encode())
        stdout_console().print(f"Page: {normalize_location(output.html)}", soft_wrap=True)
    if output.as_json:
        write_json(found.table, sys.stdout)
    elif output.html is None:
        _print_table(found)


def _print_table(found: Found) -> None:
    if not len(found.table):
        stderr_console().print("No clip was found.")
        return
    out = stdout_console()
    names = [name for name in _COLUMNS if _is_shown(found.table, name, out.width)]
    rows = ([_cell(name, row[name]) for name in names] for row in found.table.select(names).to_pylist())
    shown = [_COLUMNS[name] for name in names]
    out.print(build_table(shown, rows, numbers=[name for name in shown if name in _NUMBERS]))
    if len(found.table) < found.num_searched:
        stderr_console().print(f"{len(found.table)} of {found.num_searched} clips; --top 0 shows all.")


def _is_shown(table: pa.Table, name: str, width: int) -> bool:
    """True for a column that tells something, and that there is room for."""
    if name == "status":
        return len(table["status"].unique()) > 1
    if name in ("query_similarity", "caption"):
        return table[name].null_count < len(table)
    return width >= _NARROW or name != "end_s"


def _cell(name: str, value: object) -> object:
    if name == "query_similarity" and isinstance(value, float) and math.isfinite(value):
        return f"{value:.3f}"
    return terminal_text(value)
