"""What quotas can count clips by: columns of ``filtered_clips``, scores, and a clip's duration."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa

from stages.dedup.quota_step import quota_column
from stages.dedup.quotas import value_classes
from stages.errors import ParamsError, did_you_mean
from stages.params import QUOTA_BY_CLUSTER, Quota
from stages.schemas import ASSETS

DURATION = "duration_s"
SPAN_COLUMNS = ("start_s", "end_s")


def check_quotas(quotas: Iterable[Quota], scores: Collection[str], beginnings: tuple[str, ...] = ()) -> None:
    """Check what quotas are by before there is a table.

    Args:
        quotas: to check.
        scores: names that are known.
        beginnings: of names of further scores, of which no more is known.

    Raises:
        ParamsError: one is neither by a column, a score, ``duration_s`` nor ``cluster``, or has edges and is no number.
    """
    problems: list[str] = []
    texts = {name for name, kind in _columns().items() if pa.types.is_string(kind)}
    for quota in quotas:
        known = {QUOTA_BY_CLUSTER, DURATION, *scores, *_columns()}
        if quota.by not in known and not quota.by.startswith(beginnings):
            problems.append(_unknown(quota.by, known))
        elif quota.edges and quota.by in texts:
            problems.append(f"dedup.quotas by {quota.by} must have no edges, since its values are no numbers.")
    if problems:
        raise ParamsError("\n".join(problems), "dedup.quotas")


def columns_to_read(quotas: Iterable[Quota]) -> list[str]:
    """The columns of ``filtered_clips`` that hold what quotas count by. A score may go by the name of a column."""
    names = {quota.by for quota in quotas} - {QUOTA_BY_CLUSTER}
    if not names:
        return []
    spans = SPAN_COLUMNS if DURATION in names else ()
    return [*(name for name in _columns() if name in {*names, *spans}), "scores"]


def with_classes(clips: pa.Table, quotas: Sequence[Quota]) -> pa.Table:
    """The clips with a column for each quota but those by cluster: what they count as.

    Raises:
        ParamsError: a quota is by what neither is a column nor a score of any clip.
    """
    for quota in quotas:
        if quota.by != QUOTA_BY_CLUSTER:
            classes = value_classes(quota, _values(clips, quota.by))
            clips = clips.append_column(quota_column(quota.by), pa.array(classes, pa.string()))
    return clips


def _values(clips: pa.Table, by: str) -> list[Any]:
    """Of each clip.

    A score goes before the column of numbers that it is made of, and after one of texts: the score ``camera_motion`` is
    a number for static, pan and so on.
    """
    if pa.types.is_string(_columns().get(by, pa.null())):
        return clips[by].to_pylist()
    scores = [dict(scores or []) for scores in clips["scores"].to_pylist()]
    if any(by in row for row in scores):
        return [row.get(by) for row in scores]
    if by == DURATION:
        starts, ends = (clips[name].to_pylist() for name in SPAN_COLUMNS)
        return [end - start for start, end in zip(starts, ends, strict=True)]
    if by in _columns():
        return clips[by].to_pylist()
    scored = {name for row in scores for name in row}
    raise ParamsError(_unknown(by, {QUOTA_BY_CLUSTER, DURATION, *_columns(), *scored}), "dedup.quotas")


def _unknown(by: str, known: Collection[str]) -> str:
    return (
        f"dedup.quotas must be by a column of filtered_clips, a score, '{DURATION}' or '{QUOTA_BY_CLUSTER}', "
        f"got {by!r}.{did_you_mean(by, sorted(known))}"
    )


def _columns() -> dict[str, pa.DataType]:
    """The columns that can be counted by: texts, numbers and flags."""
    schema = ASSETS["filtered_clips"].schema
    return {field.name: field.type for field in schema if _is_number(field.type) or pa.types.is_string(field.type)}


def _is_number(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))
