"""What each asset shows: which of its rows, in which order, and the figures that are drawn. No pictures yet."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ParamsError
from stages.filter import Limit, build_filters
from stages.manifest import Commit
from stages.params import FilterParams, validate
from stages.pictures import labels
from stages.pictures.choice import largest_groups, some_kept, some_rejected
from stages.pictures.histogram import Histogram, Threshold, Values
from stages.tasks import Row

ACROSS = 3
"""Pictures side by side in a contact sheet."""
KEPT_SHOWN, REJECTED_SHOWN = 6, 6
GROUPS_SHOWN, MEMBERS_SHOWN = 4, 3
CAPTIONS_SHOWN = 5

Lines = Callable[[Row], tuple[str, ...]]


@dataclass(frozen=True)
class Draft:
    """An exhibit before its pictures are looked up.

    Attributes:
        name, note: the exhibit's.
        rows: rows of the table whose pictures stand side by side.
        lines: what stands below the picture of a row.
    """

    name: str
    note: str
    rows: list[list[Row]]
    lines: Lines


@dataclass(frozen=True)
class Plan:
    """All that an asset shows."""

    histograms: list[Histogram] = field(default_factory=lambda: [])
    drafts: list[Draft] = field(default_factory=lambda: [])


def plan_of(asset: str, table: pa.Table, commit: Commit) -> Plan:
    """What is shown of this version of the asset's table; nothing for an asset that has nothing to look at."""
    return _PLANS[asset](table, commit) if asset in _PLANS else Plan()


_CLIP = ["status", "partition", "video_id", "uri", "clip_id"]
_WHY = ["reason", "error"]
_SPAN = ["start_pts", "end_pts", "start_s", "end_s"]
_SHOT = ["shot_start_pts", "shot_end_pts"]
COLUMNS: dict[str, list[str]] = {
    "videos": ["status", "duration_s"],
    "clips": [*_CLIP, *_WHY, *_SPAN, *_SHOT],
    "filtered_clips": [*_CLIP, *_WHY, *_SPAN, *_SHOT, "scores"],
    "captions": [*_CLIP, "window_index", "caption"],
    "unique_clips": [*_CLIP, "group_id", "group_size", "similarity", "rank"],
    "dataset": [*_CLIP, *_WHY, *_SPAN, "caption"],
}
"""Columns that the plan of an asset reads."""


def _videos(table: pa.Table, commit: Commit) -> Plan:
    return Plan([_histogram("length_s", table, _numbers(table, "duration_s"))])


def _clips(table: pa.Table, commit: Commit) -> Plan:
    params = commit.lineage.get("params", {})
    limits = [Threshold(params["min_length_s"], "min")] if "min_length_s" in params else []
    if params.get("method") == "shots":
        limits.append(Threshold(params["max_length_s"], "max"))
    lengths = _numbers(table, "end_s") - _numbers(table, "start_s")
    return Plan([_histogram("length_s", table, lengths, limits)], _sheets(table, labels.kept_lines))


def _filtered_clips(table: pa.Table, commit: Commit) -> Plan:
    scores = [dict(row or []) for row in table["scores"].to_pylist()]
    names = list(dict.fromkeys(name for row in scores for name in row))
    limits = list(_limits(commit))
    histograms = [
        _histogram(
            name,
            table,
            np.array([row.get(name, np.nan) for row in scores], np.float64),
            [Threshold(value, limit.bound) for limit, value in limits if limit.score == name],
        )
        for name in names
    ]
    return Plan(histograms, _sheets(table, labels.kept_lines))


def _captions(table: pa.Table, commit: Commit) -> Plan:
    kept = table.filter((pc.field("status") == "kept") & (pc.field("window_index") == 0))
    shown = some_kept(kept, CAPTIONS_SHOWN).to_pylist()
    note = f"{len(shown)} of {len(kept)} captioned clips; of a clip with several windows the first."
    return Plan(drafts=[Draft("captions", note, [[row] for row in shown], labels.caption_lines)])


def _unique_clips(table: pa.Table, commit: Commit) -> Plan:
    params = commit.lineage.get("params", {})
    limits = [Threshold(1 - params["eps"], "min")] if "eps" in params else []
    histogram = _histogram("similarity", table, _numbers(table, "similarity"), limits)
    groups = largest_groups(table, GROUPS_SHOWN, MEMBERS_SHOWN)
    total = len(table.filter((pc.field("status") == "kept") & (pc.field("group_size") > 1)))
    note = f"The {len(groups)} largest of {total} groups of near-duplicates, one a row; the kept clip first."
    return Plan([histogram], [Draft("largest_groups", note, [rows.to_pylist() for rows in groups], labels.group_lines)])


def _dataset(table: pa.Table, commit: Commit) -> Plan:
    lengths = _numbers(table, "end_s") - _numbers(table, "start_s")
    return Plan([_histogram("length_s", table, lengths)], _sheets(table, labels.dataset_lines))


_PLANS: dict[str, Callable[[pa.Table, Commit], Plan]] = {
    "videos": _videos,
    "clips": _clips,
    "filtered_clips": _filtered_clips,
    "captions": _captions,
    "unique_clips": _unique_clips,
    "dataset": _dataset,
}


def _sheets(table: pa.Table, lines: Lines) -> list[Draft]:
    """Contact sheets of kept and of rejected rows, as far as there are any."""
    drafts: list[Draft] = []
    for fate, rows, how in (
        ("kept", some_kept(table, KEPT_SHOWN), lines),
        ("rejected", some_rejected(table, REJECTED_SHOWN), labels.rejected_lines),
    ):
        shown = rows.to_pylist()
        total = len(table.filter(pc.field("status") == fate))
        across = [shown[start : start + ACROSS] for start in range(0, len(shown), ACROSS)]
        if shown:
            drafts.append(Draft(f"{fate}_clips", f"{len(shown)} of {total} {fate}.", across, how))
    return drafts


def _limits(commit: Commit) -> Iterable[tuple[Limit, float]]:
    """Each limit that the filters held scores to, with its value; none where their classes are not to be had."""
    if "params" not in commit.lineage:
        return
    try:
        filters = build_filters(validate(FilterParams, "filter", commit.lineage["params"]))
    except ParamsError:  # made elsewhere, by filters or parameters that this environment does not have
        return
    for each in filters:
        thresholds = each.thresholds()
        yield from ((limit, thresholds[limit.threshold]) for limit in each.limits)


def _histogram(name: str, table: pa.Table, values: Values, limits: Iterable[Threshold] = ()) -> Histogram:
    """Of the kept and the rejected rows; failed ones were not measured."""
    status = table["status"].to_numpy()
    return Histogram(name, values[status == "kept"], values[status == "rejected"], tuple(limits))


def _numbers(table: pa.Table, column: str) -> Values:
    """A column as float64; null is NaN."""
    return table[column].cast(pa.float64()).to_numpy()
