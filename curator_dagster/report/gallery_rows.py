"""Rows of the gallery: one for each clip, or video without clips, joined from all tables."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator_dagster.printable_text import printable
from curator_dagster.report.committed_tables import CommittedAsset
from curator_dagster.report.final_outcomes import FinalOutcome

Row = dict[str, Any]

_MAX_CAPTION_CHARS = 2000
_MAX_ERROR_CHARS = 500
_MAX_NAME_CHARS = 500
_FROM_DATASET = ("caption", "path", "preview_path")
_FROM_DEDUP = ("group_id", "similarity")


def gallery_rows(committed: Mapping[str, CommittedAsset], outcomes: Iterable[FinalOutcome]) -> list[Row]:
    """One row for each outcome, in their order."""
    outcomes = list(outcomes)
    ids = pa.array([outcome.id for outcome in outcomes], pa.string())
    by_asset = {asset: _rows(each.table, ids) for asset, each in committed.items() if asset != "captions"}
    captions = _captions(committed["captions"].table, ids)
    return [_row(outcome, by_asset, captions.get(outcome.id)) for outcome in outcomes]


def _rows(table: pa.Table, ids: pa.Array) -> dict[str, Row]:
    """Rows by clip id, or by video id where the row has no clip."""
    if "clip_id" not in table.schema.names:
        return {row["video_id"]: row for row in table.filter(pc.field("video_id").isin(ids)).to_pylist()}
    clip = pc.field("clip_id")
    rows = table.filter(clip.isin(ids) | (clip.is_null() & pc.field("video_id").isin(ids)))
    return {row["clip_id"] or row["video_id"]: row for row in rows.to_pylist()}


def _captions(table: pa.Table, ids: pa.Array) -> dict[str, str]:
    """By clip id, the first kept caption of each window, joined by a space."""
    texts: dict[str, dict[int, str]] = defaultdict(dict)
    wanted = pc.field("clip_id").isin(ids) & pc.field("caption").is_valid() & (pc.field("status") == "kept")
    for row in table.filter(wanted).select(["clip_id", "window_index", "caption"]).to_pylist():
        texts[row["clip_id"]].setdefault(row["window_index"], row["caption"])
    return {clip_id: " ".join(parts.values()) for clip_id, parts in texts.items()}


def _row(outcome: FinalOutcome, by_asset: Mapping[str, Mapping[str, Row]], caption: str | None) -> Row:
    rows = {asset: rows[outcome.id] for asset, rows in by_asset.items() if outcome.id in rows}
    span = next((rows[asset] for asset in ("dataset", "filtered_clips", "clips", "videos") if asset in rows), {})
    written, compared = rows.get("dataset", {}), rows.get("unique_clips", {})
    scores = written.get("scores") or rows.get("filtered_clips", {}).get("scores") or []
    return {
        "id": outcome.id,
        "is_clip": span.get("clip_id") is not None,
        "partition": outcome.partition,
        "video_id": span.get("video_id"),
        "source": printable(span.get("uri") or "", _MAX_NAME_CHARS),
        **{name: span.get(name) for name in ("start_pts", "end_pts", "width", "height")},
        "start_s": _rounded(span.get("start_s")),
        "end_s": _rounded(span.get("end_s", span.get("duration_s"))),
        "asset": outcome.asset,
        "status": outcome.status,
        "reason": printable(outcome.reason, _MAX_NAME_CHARS),
        "error": printable(rows.get(outcome.asset, {}).get("error") or "", _MAX_ERROR_CHARS),
        "scores": {printable(name, _MAX_NAME_CHARS): _rounded(value) for name, value in scores},
        **{name: written.get(name) for name in _FROM_DATASET},
        "caption": printable(written.get("caption") or caption or "", _MAX_CAPTION_CHARS),
        **{name: compared.get(name) for name in _FROM_DEDUP},
        "similarity": _rounded(compared.get("similarity")),
        "similar": [],
    }


def _rounded(value: float | None) -> float | None:
    """Six digits, which are enough to show; None for NaN, which JSON has not."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
