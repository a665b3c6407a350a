"""Rows of a manifest as a table for people, or as CSV or JSON for programs."""

import csv
import json
import sys
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from curator_dagster.console import messages, output, safe, table_of
from stages.manifest import lineage_of, read_manifest
from stages.schemas import ASSETS

ROWS_SHOWN = 50
"""Rows of a table where no limit is given."""

_IDENTITY = ("partition", "video_id", "clip_id", "uri", "start_s", "end_s", "window_index")
_FATE = ("status", "reason", "error")
_RESULT = ("duration_s", "num_frames", "caption", "model", "group_id", "similarity", "path", "bytes", "cut")
_MAIN_COLUMNS = (*_IDENTITY, *_FATE, *_RESULT)


def print_rows(root: str, asset: str, form: str, *, status: str | None = None, limit: int | None = None) -> None:
    """Print the rows with this status (all without one), at most so many (0 for all), as table, csv or json.

    Raises:
        ManifestError: no such asset, or nothing is committed for it.
    """
    found = read_manifest(root, asset)
    if status is not None:
        found = found.filter(pc.field("status") == status)
    if limit is None:
        limit = ROWS_SHOWN if form == "table" else 0
    shown = found.slice(0, limit) if limit else found
    if form == "csv":
        write_csv(shown, sys.stdout)
    elif form == "json":
        write_json(shown, sys.stdout)
    else:
        write_table(shown, output())
        if len(shown) < len(found):
            messages().print(f"{len(found) - len(shown)} more rows; --limit 0 shows all.")


def print_lineage(root: str, asset: str, form: str, *, clip_id: str) -> None:
    """Print how a clip came to be, up to this asset: for each asset its rows and what made them.

    Raises:
        ManifestError: no such asset, or none has a row of this clip.
    """
    read_manifest(root, asset, columns=["status"])  # refuses an asset that is unknown or not made yet
    names = list(ASSETS)
    reached = names[: names.index(asset) + 1]
    steps = [step for step in lineage_of(root, clip_id) if step["asset"] in reached]
    if form == "csv":
        write_lineage_csv(steps, sys.stdout)
    elif form == "json":
        sys.stdout.write(json.dumps(steps, indent=1, default=str) + "\n")
    else:
        write_lineage(steps, output())


def write_table(table: pa.Table, console: Console) -> None:
    """The main columns that hold anything, one line a row where it fits."""
    names = [
        name
        for name in _MAIN_COLUMNS
        if name in table.schema.names and (name == "status" or table[name].null_count < len(table))
    ]
    numbers = [
        name for name in names if pa.types.is_floating(table[name].type) or pa.types.is_integer(table[name].type)
    ]
    rows = ([row[name] for name in names] for row in table.select(names).to_pylist())
    console.print(table_of(names, rows, numbers=numbers))


def write_csv(table: pa.Table, out: IO[str]) -> None:
    """All columns; lists and maps as JSON."""
    writer = csv.writer(out)
    writer.writerow(table.schema.names)
    for row in plain_rows(table):
        writer.writerow([json.dumps(value) if isinstance(value, dict | list) else value for value in row.values()])


def write_json(table: pa.Table, out: IO[str]) -> None:
    """All columns, as one array with an object a row."""
    out.write("[")
    for index, row in enumerate(plain_rows(table)):
        out.write((",\n " if index else "\n ") + json.dumps(row))
    out.write("\n]\n")


def plain_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows one by one; maps as dicts."""
    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            for name in maps:
                row[name] = None if row[name] is None else dict(row[name])
            yield row


def write_lineage(steps: list[dict[str, Any]], console: Console) -> None:
    """One block an asset: fate of its rows, the row file, and what that was made with."""
    for step in steps:
        made_by = step["made_by"]
        console.print(safe(f"{step['asset']}  {step['file']}"))
        for row in step["rows"]:
            facts = {name: row[name] for name in _MAIN_COLUMNS if row.get(name) is not None}
            console.print(safe("  row      " + json.dumps(facts, ensure_ascii=False, default=str)))
        for name in ("run_id", "code_version", "params", "identity", "packages"):
            console.print(safe(f"  {name:<13}" + json.dumps(made_by.get(name), ensure_ascii=False, default=str)))


def write_lineage_csv(steps: list[dict[str, Any]], out: IO[str]) -> None:
    """One line a row: asset, row file, fate, and what made it."""
    writer = csv.writer(out)
    writer.writerow(["asset", "file", "status", "reason", "error", "row_key", "run_id", "code_version", "params"])
    for step in steps:
        made_by = step["made_by"]
        for row in step["rows"]:
            fate = [row[name] for name in ("status", "reason", "error", "row_key")]
            made = [made_by["run_id"], made_by["code_version"], json.dumps(made_by["params"])]
            writer.writerow([step["asset"], step["file"], *fate, *made])
