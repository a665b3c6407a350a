"""Numbers of a materialization: hours of video, rates, decodes a frame. Each is one point of a plot over time.

What begins with ``phase_`` is of the whole run of the phase, all partitions together.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.manifest import ALL_PARTITIONS, ManifestRef, read_manifest
from stages.run import PhaseReport

_FATE = ["status", "reason", "error"]
_COLUMNS = {
    "videos": [*_FATE, "duration_s"],
    "clips": [*_FATE, "clip_id", "start_s", "end_s", "video_id", "video_frames"],
    "filtered_clips": [*_FATE, "clip_id", "start_s", "end_s"],
    "embeddings": [*_FATE, "clip_id"],
    "captions": [*_FATE, "clip_id"],
    "unique_clips": _FATE,
    "dataset": [*_FATE, "clip_id", "start_s", "end_s"],
}
"""What is read of each table, once a partition."""

_SPANS = {"embeddings": "filtered_clips", "captions": "filtered_clips"}
"""Where the spans of clips stand for assets that do not repeat them."""

_MADE_FROM = {
    "clips": "videos",
    "filtered_clips": "clips",
    "embeddings": "filtered_clips",
    "captions": "filtered_clips",
}
"""The asset whose kept rows a phase works on, where it is another than the asset that it makes."""

_NEEDS_PICTURES = ("clips", "filtered_clips", "embeddings", "captions")
"""`clips` decodes; the others do only where a frame store is gone."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What the tables of one partition of an asset say.

    Attributes:
        kept_hours: length of its kept rows together; None for `unique_clips`, which would need the table of every
            partition for it.
        worked_hours: length of what was worked on in this run; where some items were reused, the share of the others.
        frames: of the partition's videos; not counted where this run decoded none.
        examples: of each reason what its first row says.
    """

    kept_hours: float | None
    worked_hours: float
    frames: int
    examples: dict[str, str]


def amount_of(report: PhaseReport, ref: ManifestRef) -> Amount:
    """What the tables of one partition say.

    Raises:
        ManifestError: a table is damaged.
        StorageError: the store does not answer.
    """
    tables: dict[str, pa.Table] = {}

    def table_of(asset: str) -> pa.Table:
        if asset not in tables:
            tables[asset] = read_manifest(ref.root, asset, ref.partition, _COLUMNS[asset])
        return tables[asset]

    own = table_of(ref.asset)
    examples = _examples(own) if report.reasons else {}
    if ref.partition == ALL_PARTITIONS:
        return Amount(None, 0.0, 0, examples)
    kept = _kept(table_of(_SPANS.get(ref.asset, ref.asset)))
    if ref.asset in _SPANS:
        kept = kept.filter(pc.field("clip_id").isin(_kept(own)["clip_id"].combine_chunks()))
    worked = 0.0
    if report.computed:
        source = _kept(table_of(_MADE_FROM.get(ref.asset, ref.asset)))
        worked = _hours(source) * report.computed / report.items
    frames = _frames(table_of("clips")) if report.counters.get("decoded_frames") else 0
    return Amount(_hours(kept), worked, frames, examples)


def rates(reports: Mapping[str, PhaseReport], amounts: Collection[Amount]) -> dict[str, float]:
    """What the phase did a second, over all partitions of the run. Nothing where all was there already."""
    computed = sum(report.computed for report in reports.values())
    first = next(iter(reports.values()))
    decoded = first.counters.get("decoded_frames", 0.0)
    frames = sum(amount.frames for amount in amounts)
    found = {"phase_seconds": first.seconds}
    if first.asset in _NEEDS_PICTURES:
        found["phase_decodes_per_frame"] = decoded / frames if frames else 0.0
    if computed and first.seconds:
        # dedup has one item, all clips together
        done = first.rows if ALL_PARTITIONS in reports else computed
        found["phase_rows_per_s" if ALL_PARTITIONS in reports else "phase_items_per_s"] = done / first.seconds
        if hours := sum(amount.worked_hours for amount in amounts):
            found["phase_video_hours_per_hour"] = hours * 3600 / first.seconds
        if decoded:
            found["phase_decoded_frames_per_s"] = decoded / first.seconds
    return found


def _kept(table: pa.Table) -> pa.Table:
    return table.filter(pc.field("status") == "kept")


def _hours(table: pa.Table) -> float:
    """Length of all rows together; one without a length counts nothing."""
    if "duration_s" in table.schema.names:
        return float(np.nansum(_numbers(table, "duration_s"))) / 3600
    return float(np.nansum(_numbers(table, "end_s") - _numbers(table, "start_s"))) / 3600


def _frames(clips: pa.Table) -> int:
    """Frames of the partition's videos, as split counted them."""
    frames = clips.group_by("video_id").aggregate([("video_frames", "max")])
    return int(np.nansum(_numbers(frames, "video_frames_max")))


def _numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """A column as float64; null is NaN."""
    return table[column].cast(pa.float64()).to_numpy()


def _examples(table: pa.Table) -> dict[str, str]:
    lost = table.filter(pc.field("status") != "kept").group_by("reason", use_threads=False)
    first = lost.aggregate([("error", "first")])
    return {str(row["reason"]): row["error_first"] or "" for row in first.to_pylist()}
