"""`curator show`: rows, reasons or the lineage of a clip, as a table, CSV or JSON."""

import csv
import json
import sys
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from curator_dagster.commands.console import WRAPPED_COLUMNS, build_table, stderr_console, stdout_console, terminal_text
from stages.errors import TRANSIENT_REASONS, ManifestError
from stages.manifest import committed_partitions, lineage_of, read_manifest, tables_of
from stages.schemas import STATUSES
from stages.storage import Storage

DEFAULT_TABLE_ROWS = 50
"""Rows of a table without `--limit`."""

_REASON_COLUMNS = ["asset", "status", "reason", "rows", "next_run"]

_IDENTITY = ("partition", "video_id", "clip_id", "uri", "start_s", "end_s", "window_index")
_OUTCOME = ("status", "reason", "error")
_RESULT = ("duration_s", "num_frames", "caption", "model", "group_id", "similarity", "path", "bytes", "cut")
_MAIN_COLUMNS = (*_IDENTITY, *_OUTCOME, *_RESULT)
_BY_PRIORITY = ("status", "clip_id", "reason", "caption", "error", "start_s", "end_s", "uri", *_MAIN_COLUMNS)
_MIN_WRAPPED_WIDTH = 20
"""Least width of a column that wraps."""
_COLUMN_GAP = 3
"""Space between two columns."""


def print_rows(
    root: str, asset: str, output_format: str, *, status: str | None = None, limit: int | None = None
) -> None:
    """Print the rows with this status (all without one), at most so many (0 for all), as table, csv or json.

    Raises:
        ManifestError: no such asset, or nothing is committed for it.
    """
    found = read_manifest(root, asset)
    if status is not None:
        found = found.filter(pc.field("status") == status)
    if limit is None:
        limit = DEFAULT_TABLE_ROWS if output_format == "table" else 0
    shown = found.slice(0, limit) if limit else found
    if output_format == "csv":
        write_csv(shown, sys.stdout)
    elif output_format == "json":
        write_json(shown, sys.stdout)
    else:
        if len(found):
            write_table(shown, stdout_console())
        else:
            stderr_console().print(f"No row of {asset} is {status}." if status else f"{asset} has no rows.")
        if len(shown) < len(found):
            stderr_console().print(f"{len(found) - len(shown)} more rows; --limit 0 shows all.")


def print_reasons(root: str, output_format: str, *, status: str | None = None) -> None:
    """Print the number of rows by asset, status and reason, in one table.

    Raises:
        ManifestError: nothing is committed under the root.
    """
    counted = [row for row in count_reasons(root) if status in (None, row["status"])]
    if not counted:
        stderr_console().print(f"No row under {root} is {status}.")
    if output_format == "json":
        sys.stdout.write(json.dumps(counted, indent=1) + "\n")
    elif output_format == "csv":
        writer = csv.DictWriter(sys.stdout, _REASON_COLUMNS)
        writer.writeheader()
        writer.writerows(counted)
    elif counted:
        stdout_console().print(build_table(_REASON_COLUMNS, (list(row.values()) for row in counted), numbers=["rows"]))


def count_reasons(root: str) -> list[dict[str, Any]]:
    """One entry for each asset, status and reason, most frequent first, with what the next run does.

    Raises:
        ManifestError: nothing is committed under the root.
    """
    storage = Storage(root)
    found: list[dict[str, Any]] = []
    for asset in tables_of(storage):
        if not committed_partitions(storage, asset):
            continue
        outcomes = read_manifest(root, asset, columns=["status", "reason"])
        counts = outcomes.group_by(["status", "reason"]).aggregate([([], "count_all")]).to_pylist()
        for entry in sorted(counts, key=lambda entry: (STATUSES.index(entry["status"]), -entry["count_all"])):
            next_run = ""
            if entry["status"] == "failed":
                next_run = "tried again" if entry["reason"] in TRANSIENT_REASONS else "as it is; or `curator retry`"
            values = (asset, entry["status"], entry["reason"] or "", entry["count_all"], next_run)
            found.append(dict(zip(_REASON_COLUMNS, values, strict=True)))
    if not found:
        raise ManifestError(f"Nothing is committed under {storage.root}. Run `curator run` first.")
    return found


def print_lineage(root: str, asset: str | None, output_format: str, *, clip_id: str) -> None:
    """Print how a clip came to be, up to this asset: for each asset its rows and what made them.

    Raises:
        ManifestError: no such asset, or none has a row of this clip.
    """
    names = tables_of(Storage(root))
    if asset is not None:
        read_manifest(root, asset, columns=["status"])  # raises where the asset is unknown or not made yet
        names = names[: names.index(asset) + 1]
    steps = [step for step in lineage_of(root, clip_id) if step["asset"] in names]
    if output_format == "csv":
        write_lineage_csv(steps, sys.stdout)
    elif output_format == "json":
        sys.stdout.write(json.dumps(steps, indent=1, default=str) + "\n")
    else:
        write_lineage(steps, stdout_console())


def write_table(table: pa.Table, console: Console) -> None:
    """Print the main columns that are not empty, as many as fit into the terminal.

    The partition is shown where there are several, the video id where neither clip id nor uri is shown.
    """
    present = [name for name in _MAIN_COLUMNS if name in table.schema.names]
    omitted = {name for name in present if name != "status" and table[name].null_count == len(table)}
    omitted |= {"video_id"} if {"clip_id", "uri"}.intersection(present) else set()
    omitted |= {"partition"} if len(table["partition"].unique()) < 2 else set()
    shown_columns = [name for name in present if name not in omitted]
    cells = {name: [terminal_text(row[name]) for row in table.select([name]).to_pylist()] for name in shown_columns}
    names = _columns_that_fit({name: max(len(name), *map(len, texts)) for name, texts in cells.items()}, console.width)
    numbers = [
        name for name in names if pa.types.is_floating(table[name].type) or pa.types.is_integer(table[name].type)
    ]
    console.print(build_table(names, zip(*(cells[name] for name in names), strict=True), numbers=numbers))
    if left_out := [name for name in shown_columns if name not in names]:
        stderr_console().print(f"No room for {', '.join(left_out)}; a wider terminal, --format csv or json has all.")


def _columns_that_fit(widths: dict[str, int], width: int) -> list[str]:
    """Columns that fit side by side, in their order; those of lowest priority are left out first."""
    min_widths = {
        name: min(size, _MIN_WRAPPED_WIDTH) if name in WRAPPED_COLUMNS else size for name, size in widths.items()
    }
    names = list(widths)
    by_priority = _BY_PRIORITY if "clip_id" in widths else ("uri", *_BY_PRIORITY)
    for name in sorted(names, key=by_priority.index, reverse=True):
        if sum(min_widths[each] + _COLUMN_GAP for each in names) > width:
            names.remove(name)
    return names


def write_csv(table: pa.Table, out: IO[str]) -> None:
    """Write all columns; lists and maps as JSON."""
    writer = csv.writer(out)
    writer.writerow(table.schema.names)
    for row in rows_as_dicts(table):
        writer.writerow([json.dumps(value) if isinstance(value, dict | list) else value for value in row.values()])


def write_json(table: pa.Table, out: IO[str]) -> None:
    """Write all columns, as one array with an object for each row."""
    out.write("[")
    for index, row in enumerate(rows_as_dicts(table)):
        out.write((",\n " if index else "\n ") + json.dumps(row))
    out.write("\n]\n")


def rows_as_dicts(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows one by one; maps as dicts."""
    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            for name in maps:
                row[name] = None if row[name] is None else dict(row[name])
            yield row


def write_lineage(steps: list[dict[str, Any]], console: Console) -> None:
    """Print one block for each asset: its rows, the row file, and what that was made with."""
    for step in steps:
        made_by = step["made_by"]
        console.print(terminal_text(f"{step['asset']}  {step['file']}"))
        for row in step["rows"]:
            facts = {name: row[name] for name in _MAIN_COLUMNS if row.get(name) is not None}
            console.print(terminal_text("  row      " + json.dumps(facts, ensure_ascii=False, default=str)))
        for name in ("run_id", "code_version", "params", "identity", "packages"):
            console.print(
                terminal_text(f"  {name:<13}" + json.dumps(made_by.get(name), ensure_ascii=False, default=str))
            )


def write_lineage_csv(steps: list[dict[str, Any]], out: IO[str]) -> None:
    """Write one line for each row: asset, row file, status, and what made it."""
    writer = csv.writer(out)
    writer.writerow(["asset", "file", "status", "reason", "error", "row_key", "run_id", "code_version", "params"])
    for step in steps:
        made_by = step["made_by"]
        for row in step["rows"]:
            outcome = [row[name] for name in ("status", "reason", "error", "row_key")]
            made = [made_by["run_id"], made_by["code_version"], json.dumps(made_by["params"])]
            writer.writerow([step["asset"], step["file"], *outcome, *made])
