"""`curator report`: reads the tables under a root once, and writes the page."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curator_dagster.report.clips import Row, clip_rows
from curator_dagster.report.fates import final_fates
from curator_dagster.report.funnel import funnel
from curator_dagster.report.page import Contents, clip_json, page, script_json
from curator_dagster.report.parameters import made_with
from curator_dagster.report.pictures import pick_pictures
from curator_dagster.report.sample import fair_order
from curator_dagster.report.scores import histograms
from curator_dagster.report.tables import read_all
from curator_dagster.text import visible
from stages.errors import ParamsError
from stages.storage import Storage, is_url, normalize_location

MB = 1_000_000
DEFAULT_NAME = "report.html"
_LONGEST_ROOT = 500
_ROWS_SHARE = 2
"""Rows take at most one part in so many; the rest is for pictures."""
_SMALLEST_ROW = 150
"""Bytes that a clip takes at least."""
_BLOCK_BYTES = 3 * 60
"""What is around the pictures of a clip."""


def write_report(root: str, output: str | None, max_mb: float) -> str:
    """The page about a root stands whole in a file of at most so many megabytes; returns where.

    Raises:
        ParamsError: there is no such root, or it is not clear where to write.
        ManifestError: a table is damaged.
        StorageError: the store does not answer.
    """
    target = _target(root, output)
    storage = Storage(root)
    text = page(contents(storage, int(max_mb * MB)))
    folder, _, name = target.rpartition("/")
    Storage(folder or "/").write_bytes(name, text.encode())
    return target


def contents(storage: Storage, max_bytes: int) -> Contents:
    """What the page shows of a root: figures of all rows, and as many clips and pictures as there is room for."""
    made = read_all(storage)
    fates = fair_order(final_fates(made).values())
    facts: dict[str, Any] = {
        "root": visible(storage.root, _LONGEST_ROOT),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "funnel": funnel(made),
        "scores": histograms(made["filtered_clips"].table),
        "made_with": made_with(made),
        "entries": len(fates),
    }
    scores = [histogram["name"] for histogram in facts["scores"]]
    room = max(0, max_bytes - len(page(Contents(facts, [], {})).encode()))
    # Of a root so large that not every row can be in the page, no row that cannot be is made.
    rows = clip_rows(made, fates[: room // _ROWS_SHARE // _SMALLEST_ROW])
    clips, used = _that_fit(rows, scores, room // _ROWS_SHARE)
    pictured = [clip for clip in clips if clip["is_clip"]]
    return Contents(facts, clips, pick_pictures(storage, pictured, room - used))


def _that_fit(rows: list[Row], scores: list[str], max_bytes: int) -> tuple[list[Row], int]:
    """The first rows that take at most so many bytes together, and how many they take."""
    used = 0
    for place, row in enumerate(rows):
        size = len(script_json(clip_json(row, scores))) + _BLOCK_BYTES
        if used + size > max_bytes:
            return rows[:place], used
        used += size
    return rows, used


def _target(root: str, output: str | None) -> str:
    """Where the page goes.

    Raises:
        ParamsError: the root is no folder that is there; it is a bucket and no file is named; the file is a folder.
    """
    if not is_url(normalize_location(root)) and not Path(normalize_location(root)).is_dir():
        raise ParamsError(f"ROOT must be a folder that `curator run` wrote to, or a URL, got {root!r}.")
    if output is None:
        if is_url(normalize_location(root)):
            raise ParamsError(f"--output must name a file where ROOT is a URL, got none for {root}.")
        return f"{normalize_location(root)}/{DEFAULT_NAME}"
    bucket = is_url(output) and "/" not in normalize_location(output).partition("://")[2]
    if bucket or os.path.isdir(normalize_location(output)):
        raise ParamsError(f"--output must be a file, got {output}. Name a file in it.")
    return normalize_location(output)
