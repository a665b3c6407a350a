"""The steps from videos to dataset: rows and hours that each kept, rejected and failed, and why."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from curator_dagster.report.tables import Made
from curator_dagster.text import visible
from stages.schemas import ASSETS, STATUSES

_LONGEST_REASON = 200


def funnel(made: Mapping[str, Made]) -> list[dict[str, Any]]:
    """One step an asset, in the order of the phases, also those that are not made yet.

    Rows are counted as the commits say; hours count each clip once a fate, however many windows it has.
    """
    lengths = dict(chain(_seconds(made["videos"], "video_id"), _seconds(made["clips"]), _seconds(made["dataset"])))
    return [_step(each, lengths) for each in made.values()]


def _step(made: Made, lengths: Mapping[str, float]) -> dict[str, Any]:
    rows: dict[str, int] = dict.fromkeys(STATUSES, 0)
    why: dict[tuple[str, str], int] = {}
    for entry in made.table.group_by(["status", "reason"]).aggregate([([], "count_all")]).to_pylist():
        rows[entry["status"]] += entry["count_all"]
        if entry["status"] != "kept":
            why[entry["status"], visible(entry["reason"] or "", _LONGEST_REASON)] = entry["count_all"]
    seconds: dict[str, float] = dict.fromkeys(STATUSES, 0.0)
    for status, row_id in set(_ids(made)):
        seconds[status] += lengths.get(row_id, 0.0)
    return {
        "asset": made.asset,
        "grain": ASSETS[made.asset].grain,
        "partitions": len(made.commits),
        "rows": rows,
        "hours": {status: seconds[status] / 3600 for status in STATUSES},
        "why": [[*key, count] for key, count in sorted(why.items(), key=lambda item: (-item[1], item[0]))],
    }


def _ids(made: Made) -> Iterator[tuple[str, str]]:
    """Status and what tells the length of each row: the clip, else the video."""
    clips = made.table["clip_id"].to_pylist() if "clip_id" in made.table.schema.names else [None] * len(made.table)
    videos = made.table["video_id"].to_pylist()
    for status, clip, video in zip(made.table["status"].to_pylist(), clips, videos, strict=True):
        yield status, clip or video


def _seconds(made: Made, column: str = "clip_id") -> Iterator[tuple[str, float]]:
    """Length by id, of the rows that tell one."""
    ends = made.table["duration_s" if column == "video_id" else "end_s"].to_pylist()
    starts = [0.0] * len(ends) if column == "video_id" else made.table["start_s"].to_pylist()
    for row_id, start, end in zip(made.table[column].to_pylist(), starts, ends, strict=True):
        if row_id is not None and None not in (start, end) and math.isfinite(end - start):
            yield row_id, max(0.0, end - start)
