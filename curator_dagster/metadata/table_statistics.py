"""Statistics of a materialization: hours of video, rates, decodes per frame. Dagster plots each over time.

Names that begin with ``phase_`` are of the whole run of the phase, all partitions together.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curator_dagster.partition_contents import first_names
from stages.manifest import ALL, ManifestRef, read_manifest
from stages.run import PhaseReport

_OUTCOME = ["status", "reason", "error"]
_COLUMNS = {
    "videos": [*_OUTCOME, "duration_s", "uri"],
    "clips": [*_OUTCOME, "clip_id", "start_s", "end_s", "video_id", "video_frames"],
    "filtered_clips": [*_OUTCOME, "clip_id", "start_s", "end_s"],
    "embeddings": [*_OUTCOME, "clip_id"],
    "captions": [*_OUTCOME, "clip_id"],
    "unique_clips": _OUTCOME,
    "dataset": [*_OUTCOME, "clip_id", "start_s", "end_s"],
}
"""Columns that are read of each table."""

_SPANS_FROM = {"embeddings": "filtered_clips", "captions": "filtered_clips"}
"""The asset that has the spans of clips, for assets without span columns."""

_INPUT_OF = {
    "clips": "videos",
    "filtered_clips": "clips",
    "embeddings": "filtered_clips",
    "captions": "filtered_clips",
}
"""The asset whose kept rows are the items of a phase, by the asset that the phase makes."""

_READS_FRAMES = ("clips", "filtered_clips", "embeddings", "captions")
"""`clips` decodes videos; the others do only where a frame store is missing."""


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """Statistics of the tables of one partition.

    Attributes:
        kept_hours: length of the kept rows; None for `unique_clips`, which would have to read every partition.
        worked_hours: length of the items that this run computed, estimated by their share of all items.
        frames: number of frames of the partition's videos; 0 where this run decoded none.
        examples: error of the first row of each reason.
        first_videos: names of the first videos, and how many more there are; of `videos` only.
    """

    kept_hours: float | None
    worked_hours: float
    frames: int
    examples: dict[str, str]
    first_videos: str = ""


def table_statistics(report: PhaseReport, ref: ManifestRef) -> TableStatistics:
    """Read the statistics of the tables of one partition.

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
    examples = _example_errors(own) if report.reasons else {}
    if ref.partition == ALL:
        return TableStatistics(None, 0.0, 0, examples)
    kept = _kept_rows(table_of(_SPANS_FROM.get(ref.asset, ref.asset)))
    if ref.asset in _SPANS_FROM:
        kept = kept.filter(pc.field("clip_id").isin(_kept_rows(own)["clip_id"].combine_chunks()))
    worked = 0.0
    if report.computed:
        source = _kept_rows(table_of(_INPUT_OF.get(ref.asset, ref.asset)))
        worked = _hours(source) * report.computed / report.items
    frames = _frames(table_of("clips")) if report.counters.get("decoded_frames") else 0
    first_videos = first_names(own["uri"].slice(0, 3).to_pylist(), len(own)) if ref.asset == "videos" else ""
    return TableStatistics(_hours(kept), worked, frames, examples, first_videos)


def phase_rates(reports: Mapping[str, PhaseReport], statistics: Collection[TableStatistics]) -> dict[str, float]:
    """Rates of the phase over all partitions of the run, from its first item on; none where nothing was computed."""
    computed = sum(report.computed for report in reports.values())
    first = next(iter(reports.values()))
    decoded = first.counters.get("decoded_frames", 0.0)
    frames = sum(each.frames for each in statistics)
    found = {"phase_seconds": first.seconds, "phase_starting_seconds": first.starting_s}
    if first.asset in _READS_FRAMES:
        found["phase_decodes_per_frame"] = decoded / frames if frames else 0.0
    working_s = first.seconds - first.starting_s
    if computed and working_s > 0:
        # dedup has one item for all clips
        done = first.rows if ALL in reports else computed
        found["phase_rows_per_s" if ALL in reports else "phase_items_per_s"] = done / working_s
        if hours := sum(each.worked_hours for each in statistics):
            found["phase_video_hours_per_hour"] = hours * 3600 / working_s
        if decoded:
            found["phase_decoded_frames_per_s"] = decoded / working_s
    return found


def _kept_rows(table: pa.Table) -> pa.Table:
    return table.filter(pc.field("status") == "kept")


def _hours(table: pa.Table) -> float:
    """Length of all rows; a row without a length counts 0."""
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


def _example_errors(table: pa.Table) -> dict[str, str]:
    lost = table.filter(pc.field("status") != "kept").group_by("reason", use_threads=False)
    first = lost.aggregate([("error", "first")])
    return {str(row["reason"]): row["error_first"] or "" for row in first.to_pylist()}
