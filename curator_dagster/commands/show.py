"""Rows of a manifest as a table for people, or as CSV or JSON for programs."""

import csv
import json
import sys
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from curator_dagster.commands.console import PROSE, messages, output, safe, table_of
from stages.errors import TRANSIENT_REASONS, ManifestError
from stages.manifest import committed_partitions, lineage_of, read_manifest
from stages.schemas import ASSETS, STATUSES
from stages.storage import Storage

ROWS_SHOWN = 50
"""Rows of a table where no limit is given."""

_REASON_COLUMNS = ["asset", "status", "reason", "rows", "next_run"]

_IDENTITY = ("partition", "video_id", "clip_id", "uri", "start_s", "end_s", "window_index")
_FATE = ("status", "reason", "error")
_RESULT = ("duration_s", "num_frames", "caption", "model", "group_id", "similarity", "path", "bytes", "cut")
_MAIN_COLUMNS = (*_IDENTITY, *_FATE, *_RESULT)
_BY_WEIGHT = ("status", "clip_id", "reason", "caption", "error", "start_s", "end_s", "uri", *_MAIN_COLUMNS)
_PROSE_WIDTH = 20
"""What a column of prose needs at least."""
_GAP = 3
"""Between two columns."""


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
        if len(found):
            write_table(shown, output())
        else:
            messages().print(f"No row of {asset} is {status}." if status else f"{asset} has no rows.")
        if len(shown) < len(found):
            messages().print(f"{len(found) - len(shown)} more rows; --limit 0 shows all.")


def print_reasons(root: str, form: str, *, status: str | None = None) -> None:
    """Print how many rows of each asset have which fate, and why, over all phases in one table.

    Raises:
        ManifestError: nothing is committed under the root.
    """
    counted = [row for row in reason_rows(root) if status in (None, row["status"])]
    if not counted:
        messages().print(f"No row under {root} is {status}.")
    if form == "json":
        sys.stdout.write(json.dumps(counted, indent=1) + "\n")
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, _REASON_COLUMNS)
        writer.writeheader()
        writer.writerows(counted)
    elif counted:
        output().print(table_of(_REASON_COLUMNS, (list(row.values()) for row in counted), numbers=["rows"]))


def reason_rows(root: str) -> list[dict[str, Any]]:
    """One entry an asset, status and reason, most frequent first, with what the next run does about it.

    Raises:
        ManifestError: nothing is committed under the root.
    """
    storage = Storage(root)
    found: list[dict[str, Any]] = []
    for asset in ASSETS:
        if not committed_partitions(storage, asset):
            continue
        fates = read_manifest(root, asset, columns=["status", "reason"])
        counts = fates.group_by(["status", "reason"]).aggregate([([], "count_all")]).to_pylist()
        for entry in sorted(counts, key=lambda entry: (STATUSES.index(entry["status"]), -entry["count_all"])):
            next_run = ""
            if entry["status"] == "failed":
                next_run = "tried again" if entry["reason"] in TRANSIENT_REASONS else "as it is; or `curator retry`"
            values = (asset, entry["status"], entry["reason"] or "", entry["count_all"], next_run)
            found.append(dict(zip(_REASON_COLUMNS, values, strict=True)))
    if not found:
        raise ManifestError(f"Nothing is committed under {storage.root}. Run `curator run` first.")
    return found


def print_lineage(root: str, asset: str | None, form: str, *, clip_id: str) -> None:
    """Print how a clip came to be, up to this asset: for each asset its rows and what made them.

    Raises:
        ManifestError: no such asset, or none has a row of this clip.
    """
    names = list(ASSETS)
    if asset is not None:
        read_manifest(root, asset, columns=["status"])  # refuses an asset that is unknown or not made yet
        names = names[: names.index(asset) + 1]
    reached = names
    steps = [step for step in lineage_of(root, clip_id) if step["asset"] in reached]
    if form == "csv":
        write_lineage_csv(steps, sys.stdout)
    elif form == "json":
        sys.stdout.write(json.dumps(steps, indent=1, default=str) + "\n")
    else:
        write_lineage(steps, output())


def write_table(table: pa.Table, console: Console) -> None:
    """The main columns that hold anything, as many as the terminal has room for, one line a row where it fits.

    A partition is named where there are several, a video where nothing finer or plainer names the row.
    """
    there = [name for name in _MAIN_COLUMNS if name in table.schema.names]
    idle = {name for name in there if name != "status" and table[name].null_count == len(table)}
    idle |= {"video_id"} if {"clip_id", "uri"}.intersection(there) else set()
    idle |= {"partition"} if len(table["partition"].unique()) < 2 else set()
    held = [name for name in there if name not in idle]
    cells = {name: [safe(row[name]) for row in table.select([name]).to_pylist()] for name in held}
    names = _fitting({name: max(len(name), *map(len, texts)) for name, texts in cells.items()}, console.width)
    numbers = [
        name for name in names if pa.types.is_floating(table[name].type) or pa.types.is_integer(table[name].type)
    ]
    console.print(table_of(names, zip(*(cells[name] for name in names), strict=True), numbers=numbers))
    if left_out := [name for name in held if name not in names]:
        messages().print(f"No room for {', '.join(left_out)}; a wider terminal, --format csv or json has all.")


def _fitting(widths: dict[str, int], width: int) -> list[str]:
    """Columns that fit side by side, in their order; what matters least is left out first."""
    least = {name: min(size, _PROSE_WIDTH) if name in PROSE else size for name, size in widths.items()}
    names = list(widths)
    by_weight = _BY_WEIGHT if "clip_id" in widths else ("uri", *_BY_WEIGHT)
    for name in sorted(names, key=by_weight.index, reverse=True):
        if sum(least[each] + _GAP for each in names) > width:
            names.remove(name)
    return names


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
