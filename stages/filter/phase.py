"""The filter phase: scores every clip once, and decides again whenever a threshold changes."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import pyarrow as pa

from stages import registry
from stages.errors import ParamsError
from stages.filter.base import Filter, first_violation
from stages.filter.stage import MAX_FRAMES, FilterStage
from stages.manifest import ManifestRef
from stages.media import CLIP_TASK_FIELDS, clip_length, clip_task
from stages.params import FilterParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.tasks import Row, Task, VideoLength, VideoTask

_OUTCOME_COLUMNS = ("status", "reason", "error", "row_key", "decision_key")
COPIED_COLUMNS = tuple(
    name
    for name in ASSETS["filtered_clips"].schema.names
    if name in ASSETS["clips"].schema.names and name not in _OUTCOME_COLUMNS
)
"""Columns copied from the row of `clips`. All of them are part of ``row_key``, since the output row repeats them."""


class FilterPhase(Phase[FilterParams]):
    """Scores kept clips; a clip is rejected by the first filter whose limits its scores violate."""

    inputs = ("clips",)
    input_columns: ClassVar[Mapping[str, list[str]]] = {"clips": list(COPIED_COLUMNS)}
    key_columns = COPIED_COLUMNS

    def __init__(self, params: FilterParams, root: str) -> None:
        super().__init__(params, root)
        self.filters = build_filters(params)

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item per kept clip."""
        return inputs["clips"].select(COPIED_COLUMNS)

    def task(self, item: Row, task_id: str) -> Task:
        """A task with one video and one clip."""
        return clip_task(item, task_id)

    def cost(self, item: Row) -> float:
        """Pictures that are read and scored."""
        return min(MAX_FRAMES, clip_length(item).seconds * (item["frames_fps"] or 1.0) + 1)

    def video_length(self, item: Row) -> VideoLength:
        """Of the clip."""
        return clip_length(item)

    def pipeline(self) -> Pipeline:
        """Loading frames where a filter needs them, then scoring."""
        return Pipeline("filter", [FilterStage(self.root, self.filters)], collect=_rows, provides=CLIP_TASK_FIELDS)

    def identity(self) -> dict[str, Any]:
        """Identities of the filters that have one: their models and weights, and of users' own filters their code."""
        identity = {each.name: identity for each in self.filters if (identity := each.identity())}
        for name in self.params.filters:
            identity |= registry.code_identity("filter", name)
        return identity

    def decide(self, row: Row) -> Row:
        """The row with status, reason, error and thresholds set from its scores; a row without scores is unchanged."""
        if row.get("scores") is None:
            return row
        thresholds = {name: value for each in self.filters for name, value in each.thresholds().items()}
        row = {**row, "thresholds": thresholds}
        violation = first_violation(self.filters, dict(row["scores"]), self.params.score_only)
        if violation is None:
            return {**row, "status": "kept", "reason": None, "error": None}
        return {**row, "status": "rejected", "reason": violation.filter, "error": violation.detail}


def _rows(task: Task) -> list[Row]:
    clip = cast(VideoTask, task).data.clip
    return [{**clip.columns, "status": "kept", "scores": dict(clip.scores)}]


def build_filters(params: FilterParams) -> list[Filter]:
    """The filters that `filter.filters` names, in that order, each with its thresholds.

    Raises:
        ParamsError: a filter is unknown or named twice, its arguments do not fit its constructor, or `custom` or
            `score_only` names a filter that `filters` does not.
    """
    arguments = _custom_arguments(params)
    filters = [_build(name, arguments.get(name), params) for name in params.filters]
    names = [each.name for each in filters]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ParamsError(f"filter.filters must name each filter once, got {repeated} twice.")
    unknown = sorted(set(params.score_only) - {"all", *names})
    if unknown:
        raise ParamsError(f"filter.score_only must be among {['all', *names]}, got {unknown}.")
    return filters


def _custom_arguments(params: FilterParams) -> dict[str, dict[str, Any]]:
    arguments: dict[str, dict[str, Any]] = {}
    for entry in params.custom:
        name = entry.get("filter")
        if name not in params.filters or ":" not in str(name):
            raise ParamsError(
                "filter.custom must hold 'filter': a 'package.module:Class' that filter.filters names too, "
                f"got {name!r}. Add it to filter.filters."
            )
        arguments[str(name)] = {key: value for key, value in entry.items() if key != "filter"}
    return arguments


def _build(name: str, arguments: dict[str, Any] | None, params: FilterParams) -> Filter:
    loaded = registry.load("filter", name)
    if ":" not in name:
        arguments = {field.name: getattr(params, field.name) for field in dataclasses.fields(loaded)}
    try:
        return loaded(**(arguments or {}))
    except (TypeError, ValueError) as error:
        raise ParamsError(f"filter.custom for {name} must fit its constructor: {error}.") from error
