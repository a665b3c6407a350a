"""`curator show ROOT --partitions`: what is inside each partition, as a table, CSV or JSON."""

import csv
import json
import sys
from typing import Any

from rich.console import Console

from curator_dagster.commands.console import build_table, format_hours, stderr_console, stdout_console
from curator_dagster.commands.show import DEFAULT_TABLE_ROWS
from curator_dagster.partition_contents import file_name, first_names, format_bytes
from stages.errors import ManifestError
from stages.sources import Register, read_contents, read_hours
from stages.storage import Storage

_COLUMNS = ["partition", "videos", "hours", "bytes", "newest", "names"]

_LESS_IMPORTANT = ("newest", "size", "hours")
"""Columns that a narrow terminal has no room for, the first to be left out first."""

_MIN_NAMES_WIDTH = 20
_COLUMN_GAP = 3


def print_partitions(root: str, output_format: str, *, limit: int | None = None) -> None:
    """Print partitions in the order of registration, the newest at the end; at most so many of the newest, 0 for all.

    Raises:
        ManifestError: no partition is registered, or a file is missing or damaged.
    """
    register = Register(Storage(root))
    keys = list(register.member_files)
    if not keys:
        raise ManifestError(
            f"Partitions must be registered under {register.storage.root}/partitions, got none. "
            "Run `curator run SOURCE --root ROOT`, the sensor new_videos or the job find_videos."
        )
    if limit is None:
        limit = DEFAULT_TABLE_ROWS if output_format == "table" else 0
    shown = keys[-limit:]  # all for 0
    found = describe_partitions(register, shown)
    if output_format == "json":
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    elif output_format == "csv":
        writer = csv.DictWriter(sys.stdout, _COLUMNS)
        writer.writeheader()
        writer.writerows({**row, "names": json.dumps(row["names"])} for row in found)
    else:
        write_partitions_table(found, stdout_console())
    if len(shown) < len(keys):
        stderr_console().print(f"{len(keys) - len(shown)} older partitions; --limit 0 shows all.")


def write_partitions_table(found: list[dict[str, Any]], console: Console) -> None:
    """Print the partitions, with as many columns as fit into the terminal."""
    columns = {
        "partition": [row["partition"] for row in found],
        "videos": [str(row["videos"]) for row in found],
        "hours": ["" if row["hours"] is None else format_hours(row["hours"]) for row in found],
        "size": [format_bytes(row["bytes"]) for row in found],
        "newest": [(row["newest"] or "").replace("T", " ") for row in found],
        "names": [first_names(row["names"], row["videos"]) for row in found],
    }
    for name in _LESS_IMPORTANT:
        widths = [max(map(len, [header, *cells])) + _COLUMN_GAP for header, cells in columns.items()]
        if sum(widths[:-1]) + min(widths[-1], _MIN_NAMES_WIDTH) > console.width:
            del columns[name]
    rows = zip(*columns.values(), strict=True)
    console.print(build_table(list(columns), rows, numbers=["videos", "hours", "size"]))


def describe_partitions(register: Register, keys: list[str]) -> list[dict[str, Any]]:
    """One entry for each partition; hours are None where `videos` is not made yet.

    Raises:
        ManifestError: a file is missing or damaged.
    """
    described: list[dict[str, Any]] = []
    for contents, hours in zip(read_contents(register, keys), read_hours(register, keys), strict=True):
        values = (
            contents.partition,
            contents.num_videos,
            None if hours is None else round(hours, 4),
            contents.size_bytes,
            f"{contents.newest:%Y-%m-%dT%H:%M}Z" if contents.newest else None,
            [file_name(uri) for uri in contents.uris],
        )
        described.append(dict(zip(_COLUMNS, values, strict=True)))
    return described
