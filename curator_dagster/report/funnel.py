"""The funnel from videos to dataset: rows and hours by status, and reasons, of each asset."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from curator_dagster.printable_text import printable
from curator_dagster.report.committed_tables import CommittedAsset
from stages.schemas import ASSETS, STATUSES

_MAX_REASON_CHARS = 200


def funnel(committed: Mapping[str, CommittedAsset]) -> list[dict[str, Any]]:
    """One step for each asset, in the order of the phases, also of assets that are not made yet.

    Rows are counted as they are; hours count a clip once for each status, however many windows it has.
    """
    lengths = dict(
        chain(_seconds(committed["videos"], "video_id"), _seconds(committed["clips"]), _seconds(committed["dataset"]))
    )
    return [_step(each, lengths) for each in committed.values()]


def _step(committed: CommittedAsset, lengths: Mapping[str, float]) -> dict[str, Any]:
    rows: dict[str, int] = dict.fromkeys(STATUSES, 0)
    reasons: dict[tuple[str, str], int] = {}
    for entry in committed.table.group_by(["status", "reason"]).aggregate([([], "count_all")]).to_pylist():
        rows[entry["status"]] += entry["count_all"]
        if entry["status"] != "kept":
            reasons[entry["status"], printable(entry["reason"] or "", _MAX_REASON_CHARS)] = entry["count_all"]
    seconds: dict[str, float] = dict.fromkeys(STATUSES, 0.0)
    for status, row_id in set(_ids(committed)):
        seconds[status] += lengths.get(row_id, 0.0)
    return {
        "asset": committed.asset,
        "grain": ASSETS[committed.asset].grain,
        "partitions": len(committed.commits),
        "rows": rows,
        "hours": {status: seconds[status] / 3600 for status in STATUSES},
        "why": [[*key, count] for key, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))],
    }


def _ids(committed: CommittedAsset) -> Iterator[tuple[str, str]]:
    """Status of each row, and the id by which its length is known: of the clip, else of the video."""
    clips = (
        committed.table["clip_id"].to_pylist()
        if "clip_id" in committed.table.schema.names
        else [None] * len(committed.table)
    )
    videos = committed.table["video_id"].to_pylist()
    for status, clip, video in zip(committed.table["status"].to_pylist(), clips, videos, strict=True):
        yield status, clip or video


def _seconds(committed: CommittedAsset, column: str = "clip_id") -> Iterator[tuple[str, float]]:
    """Id and length of the rows that have a length."""
    ends = committed.table["duration_s" if column == "video_id" else "end_s"].to_pylist()
    starts = [0.0] * len(ends) if column == "video_id" else committed.table["start_s"].to_pylist()
    for row_id, start, end in zip(committed.table[column].to_pylist(), starts, ends, strict=True):
        if row_id is not None and None not in (start, end) and math.isfinite(end - start):
            yield row_id, max(0.0, end - start)
