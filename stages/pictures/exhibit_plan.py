"""Plans the exhibits of each asset: the rows of its contact sheets, and the values of its histograms."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ParamsError, Reason
from stages.filter import Limit, build_filters
from stages.manifest import Commit
from stages.params import CAMERA_MOTIONS, DedupParams, FilterParams, parse_quotas, validate
from stages.pictures import labels
from stages.pictures.bar_chart import BarChart
from stages.pictures.histogram import Histogram, Threshold, Values
from stages.pictures.row_sampling import largest_groups, sample_kept, sample_rejected
from stages.tasks import Row

SHEET_COLUMNS = 3
"""Pictures in a row of a contact sheet."""
MAX_KEPT, MAX_REJECTED = 6, 6
MAX_GROUPS, MAX_GROUP_MEMBERS = 4, 3
MAX_CAPTIONS = 5
_CAMERA_MOTION = "camera_motion"
"""A score of filtered clips."""

Lines = Callable[[Row], tuple[str, ...]]


@dataclass(frozen=True)
class ContactSheet:
    """An exhibit with rows of the table in place of pictures.

    Attributes:
        name, note: of the exhibit.
        rows: rows of the grid, each with rows of the table from left to right.
        lines: gives the lines of text below the picture of a row.
    """

    name: str
    note: str
    rows: list[list[Row]]
    lines: Lines


@dataclass(frozen=True)
class ExhibitPlan:
    """The histograms, bar charts and contact sheets of one version of a table."""

    histograms: list[Histogram] = field(default_factory=lambda: [])
    charts: list[BarChart] = field(default_factory=lambda: [])
    sheets: list[ContactSheet] = field(default_factory=lambda: [])


def plan_exhibits(asset: str, table: pa.Table, commit: Commit) -> ExhibitPlan:
    """The plan for this version of the asset's table; empty for an asset without exhibits."""
    return _PLANNERS[asset](table, commit) if asset in _PLANNERS else ExhibitPlan()


_CLIP_COLUMNS = ["status", "partition", "video_id", "uri", "clip_id"]
_REASON_COLUMNS = ["reason", "error"]
_SPAN_COLUMNS = ["start_pts", "end_pts", "start_s", "end_s"]
_SHOT_COLUMNS = ["shot_start_pts", "shot_end_pts"]
COLUMNS: dict[str, list[str]] = {
    "videos": ["status", "duration_s"],
    "clips": [*_CLIP_COLUMNS, *_REASON_COLUMNS, *_SPAN_COLUMNS, *_SHOT_COLUMNS],
    "filtered_clips": [*_CLIP_COLUMNS, *_REASON_COLUMNS, *_SPAN_COLUMNS, *_SHOT_COLUMNS, "scores"],
    "captions": [*_CLIP_COLUMNS, *_REASON_COLUMNS, "window_index", "caption", "caption_index", "language", "scores"],
    "unique_clips": [*_CLIP_COLUMNS, "reason", "group_id", "group_size", "similarity", "rank", "quota_classes"],
    "dataset": [*_CLIP_COLUMNS, *_REASON_COLUMNS, *_SPAN_COLUMNS, "caption"],
}
"""Columns that the plan of each asset reads."""


def _videos(table: pa.Table, commit: Commit) -> ExhibitPlan:
    return ExhibitPlan([_histogram("length_s", table, _float_column(table, "duration_s"))])


def _clips(table: pa.Table, commit: Commit) -> ExhibitPlan:
    params = commit.lineage.get("params", {})
    limits = [Threshold(params["min_length_s"], "min")] if "min_length_s" in params else []
    if params.get("method") == "shots":
        limits.append(Threshold(params["max_length_s"], "max"))
    lengths = _float_column(table, "end_s") - _float_column(table, "start_s")
    return ExhibitPlan(
        [_histogram("length_s", table, lengths, limits)], sheets=_contact_sheets(table, labels.kept_lines)
    )


def _filtered_clips(table: pa.Table, commit: Commit) -> ExhibitPlan:
    scores = [dict(row or []) for row in table["scores"].to_pylist()]
    names = list(dict.fromkeys(name for row in scores for name in row))
    limits = list(_filter_limits(commit))
    histograms = [
        _histogram(
            name,
            table,
            np.array([row.get(name, np.nan) for row in scores], np.float64),
            [Threshold(value, limit.bound) for limit, value in limits if limit.score == name],
        )
        for name in names
        if name != _CAMERA_MOTION
    ]
    motions = [row.get(_CAMERA_MOTION) for row in scores]
    return ExhibitPlan(histograms, _camera_chart(table, motions), _contact_sheets(table, labels.kept_lines))


def _camera_chart(table: pa.Table, motions: list[float | None]) -> list[BarChart]:
    """Clips that are kept, and that are not, by what the camera does: its score is the number of a word."""
    counts: dict[str, list[int]] = {}
    for status, number in zip(table["status"].to_pylist(), motions, strict=True):
        if number is not None and number in range(len(CAMERA_MOTIONS)):
            counts.setdefault(CAMERA_MOTIONS[int(number)], [0, 0])[status != "kept"] += 1
    found = {name: (kept, gone) for name, (kept, gone) in counts.items()}
    return [BarChart(_CAMERA_MOTION, found, "Clips by motion of the camera: kept of all.")] if found else []


def _captions(table: pa.Table, commit: Commit) -> ExhibitPlan:
    params = commit.lineage.get("params", {})
    # Rows of versions with one caption a window have no index.
    is_first = pc.field("caption_index").is_null() | (pc.field("caption_index") == 0)
    first = (pc.field("window_index") == 0) & is_first
    kept = table.filter((pc.field("status") == "kept") & first)
    shown = sample_kept(kept, MAX_CAPTIONS).to_pylist()
    note = f"{len(shown)} of {len(kept)} captioned clips; of a clip with several windows the first."
    sheets = [ContactSheet("captions", note, [[row] for row in shown], labels.caption_lines)]
    if worst := _worst_captions(table):
        rejected = len(table.filter((pc.field("status") == "rejected") & pc.field("caption").is_valid()))
        note = f"{len(worst)} captions: of {rejected} rejected, each reason in turn; then kept ones that repeat most."
        sheets.append(ContactSheet("worst_captions", note, [[row] for row in worst], labels.judged_caption_lines))
    histograms = [
        _histogram(name, table, _scores_named(table, name), limits) for name, limits in _caption_limits(params).items()
    ]
    return ExhibitPlan(histograms, _language_chart(table), sheets)


def _caption_limits(params: dict[str, Any]) -> dict[str, list[Threshold]]:
    """By score of captions that is shown, the thresholds that were in force."""
    bounds: dict[str, list[tuple[str, Literal["min", "max"]]]] = {
        "words": [("min_words", "min"), ("max_words", "max")],
        "repetition": [("max_repetition", "max")],
        "near_duplicates": [("max_near_duplicates", "max")],
        "similarity": [("min_similarity", "min")],
    }
    return {
        score: [Threshold(params[name], bound) for name, bound in limits if params.get(name) is not None]
        for score, limits in bounds.items()
    }


def _scores_named(table: pa.Table, name: str) -> Values:
    """A score of each row, NaN where it has none."""
    return np.array([dict(row or []).get(name, np.nan) for row in table["scores"].to_pylist()], np.float64)


def _worst_captions(table: pa.Table) -> list[Row]:
    """Rejected captions, of as many reasons as there is room for; then the kept ones that repeat most."""
    worded = table.filter(pc.field("caption").is_valid())
    worst = sample_rejected(worded, MAX_CAPTIONS).to_pylist()
    repetition = np.nan_to_num(_scores_named(worded, "repetition"))
    kept = (worded["status"].to_numpy(zero_copy_only=False) == "kept") & (repetition > 0)
    order = np.lexsort((np.arange(len(worded)), -repetition))
    places = [int(place) for place in order if kept[place]][: MAX_CAPTIONS - len(worst)]
    return worst + worded.take(pa.array(places, pa.int64())).to_pylist()


def _language_chart(table: pa.Table) -> list[BarChart]:
    """Captions that are kept, and that are not, by language."""
    counts: dict[str, list[int]] = {}
    worded = table.filter(pc.field("caption").is_valid())
    for status, language in zip(worded["status"].to_pylist(), worded["language"].to_pylist(), strict=True):
        counts.setdefault(language or "not told", [0, 0])[status != "kept"] += 1
    found = {name: (kept, gone) for name, (kept, gone) in sorted(counts.items())}
    return [BarChart("languages", found, "Captions by language: kept of all.")] if found else []


def _unique_clips(table: pa.Table, commit: Commit) -> ExhibitPlan:
    params = commit.lineage.get("params", {})
    limits = [Threshold(1 - params["eps"], "max")] if "eps" in params else []  # from there on it is a near-duplicate
    histogram = _histogram("similarity", table, _float_column(table, "similarity"), limits)
    groups = largest_groups(table, MAX_GROUPS, MAX_GROUP_MEMBERS)
    total = len(table.filter((pc.field("status") == "kept") & (pc.field("group_size") > 1)))
    note = f"The {len(groups)} largest of {total} groups of near-duplicates, one a row; the kept clip first."
    sheet = ContactSheet("largest_groups", note, [rows.to_pylist() for rows in groups], labels.group_lines)
    return ExhibitPlan([histogram], _quota_charts(table, params), [sheet])


def _quota_charts(table: pa.Table, params: dict[str, Any]) -> list[BarChart]:
    """Of each quota: the clips before it, which are neither copies nor duplicates, and those that it kept, by class."""
    asked = table.filter((pc.field("status") == "kept") | (pc.field("reason") == Reason.OVER_QUOTA.value))
    counts: dict[str, dict[str, list[int]]] = {}
    for status, classes in zip(asked["status"].to_pylist(), asked["quota_classes"].to_pylist(), strict=True):
        for by, name in classes or []:
            counts.setdefault(by, {}).setdefault(name, [0, 0])[status != "kept"] += 1
    notes = _quota_notes(params, len(asked)) if counts else {}
    return [
        BarChart(f"quota_{by}", {name: (kept, gone) for name, (kept, gone) in classes.items()}, notes.get(by, ""))
        for by, classes in counts.items()
    ]


def _quota_notes(params: dict[str, Any], num_clips: int) -> dict[str, str]:
    """How many clips of a class each quota keeps; empty where the quotas were those of another release."""
    try:
        quotas = parse_quotas(validate(DedupParams, "dedup", params).quotas)
    except ParamsError:
        return {}
    return {quota.by: f"At most {quota.most(num_clips)} of each." for quota in quotas}


def _dataset(table: pa.Table, commit: Commit) -> ExhibitPlan:
    lengths = _float_column(table, "end_s") - _float_column(table, "start_s")
    return ExhibitPlan([_histogram("length_s", table, lengths)], sheets=_contact_sheets(table, labels.dataset_lines))


_PLANNERS: dict[str, Callable[[pa.Table, Commit], ExhibitPlan]] = {
    "videos": _videos,
    "clips": _clips,
    "filtered_clips": _filtered_clips,
    "captions": _captions,
    "unique_clips": _unique_clips,
    "dataset": _dataset,
}


def _contact_sheets(table: pa.Table, lines: Lines) -> list[ContactSheet]:
    """A contact sheet of the kept rows and one of the rejected rows; none for a status without rows."""
    sheets: list[ContactSheet] = []
    for status, rows, row_lines in (
        ("kept", sample_kept(table, MAX_KEPT), lines),
        ("rejected", sample_rejected(table, MAX_REJECTED), labels.rejected_lines),
    ):
        shown = rows.to_pylist()
        total = len(table.filter(pc.field("status") == status))
        sheet_rows = [shown[start : start + SHEET_COLUMNS] for start in range(0, len(shown), SHEET_COLUMNS)]
        if shown:
            sheets.append(ContactSheet(f"{status}_clips", f"{len(shown)} of {total} {status}.", sheet_rows, row_lines))
    return sheets


def _filter_limits(commit: Commit) -> Iterable[tuple[Limit, float]]:
    """The limits of the filters that made the table, with their thresholds; none where a filter cannot be loaded."""
    if "params" not in commit.lineage:
        return
    try:
        filters = build_filters(validate(FilterParams, "filter", commit.lineage["params"]))
    except ParamsError:  # made in an environment with other filters or parameters
        return
    for each in filters:
        thresholds = each.thresholds()
        yield from ((limit, thresholds[limit.threshold]) for limit in each.limits)


def _histogram(name: str, table: pa.Table, values: Values, limits: Iterable[Threshold] = ()) -> Histogram:
    """Histogram of the kept and the rejected rows. Failed rows have no values."""
    status = table["status"].to_numpy()
    return Histogram(name, values[status == "kept"], values[status == "rejected"], tuple(limits))


def _float_column(table: pa.Table, column: str) -> Values:
    """A column as float64, with NaN for null."""
    return table[column].cast(pa.float64()).to_numpy()
