"""What the gallery knows of each clip, or of a video without clips: one row, joined from all tables."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator_dagster.report.fates import Fate
from curator_dagster.report.tables import Made
from curator_dagster.text import visible

Row = dict[str, Any]

_LONGEST_CAPTION = 2000
_LONGEST_ERROR = 500
_LONGEST_NAME = 500
_FROM_DATASET = ("caption", "path", "preview_path")
_FROM_DEDUP = ("group_id", "similarity")


def clip_rows(made: Mapping[str, Made], fates: Iterable[Fate]) -> list[Row]:
    """One row a fate, in their order."""
    fates = list(fates)
    ids = pa.array([fate.id for fate in fates], pa.string())
    by_asset = {asset: _rows(each.table, ids) for asset, each in made.items() if asset != "captions"}
    captions = _captions(made["captions"].table, ids)
    return [_row(fate, by_asset, captions.get(fate.id)) for fate in fates]


def _rows(table: pa.Table, ids: pa.Array) -> dict[str, Row]:
    """By clip, or by video where the row has no clip."""
    if "clip_id" not in table.schema.names:
        return {row["video_id"]: row for row in table.filter(pc.field("video_id").isin(ids)).to_pylist()}
    clip = pc.field("clip_id")
    rows = table.filter(clip.isin(ids) | (clip.is_null() & pc.field("video_id").isin(ids)))
    return {row["clip_id"] or row["video_id"]: row for row in rows.to_pylist()}


def _captions(table: pa.Table, ids: pa.Array) -> dict[str, str]:
    """Texts of all windows by clip, joined by a space."""
    texts: dict[str, list[str]] = defaultdict(list)
    wanted = pc.field("clip_id").isin(ids) & pc.field("caption").is_valid()
    for row in table.filter(wanted).select(["clip_id", "caption"]).to_pylist():
        texts[row["clip_id"]].append(row["caption"])
    return {clip_id: " ".join(parts) for clip_id, parts in texts.items()}


def _row(fate: Fate, by_asset: Mapping[str, Mapping[str, Row]], caption: str | None) -> Row:
    rows = {asset: rows[fate.id] for asset, rows in by_asset.items() if fate.id in rows}
    span = next((rows[asset] for asset in ("dataset", "filtered_clips", "clips", "videos") if asset in rows), {})
    written, compared = rows.get("dataset", {}), rows.get("unique_clips", {})
    scores = written.get("scores") or rows.get("filtered_clips", {}).get("scores") or []
    return {
        "id": fate.id,
        "is_clip": span.get("clip_id") is not None,
        "partition": fate.partition,
        "video_id": span.get("video_id"),
        "source": visible(span.get("uri") or "", _LONGEST_NAME),
        **{name: span.get(name) for name in ("start_pts", "end_pts", "width", "height")},
        "start_s": _real(span.get("start_s")),
        "end_s": _real(span.get("end_s", span.get("duration_s"))),
        "asset": fate.asset,
        "status": fate.status,
        "reason": visible(fate.reason, _LONGEST_NAME),
        "error": visible(rows.get(fate.asset, {}).get("error") or "", _LONGEST_ERROR),
        "scores": {visible(name, _LONGEST_NAME): _real(value) for name, value in scores},
        **{name: written.get(name) for name in _FROM_DATASET},
        "caption": visible(written.get("caption") or caption or "", _LONGEST_CAPTION),
        **{name: compared.get(name) for name in _FROM_DEDUP},
        "similarity": _real(compared.get("similarity")),
    }


def _real(value: float | None) -> float | None:
    """Six digits are enough to look at; JSON knows no NaN."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
