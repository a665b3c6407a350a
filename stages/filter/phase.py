"""The filter phase: scores every clip once, decides as often as thresholds change."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import pyarrow as pa

from stages import registry
from stages.errors import ParamsError
from stages.filter.base import Filter, first_miss
from stages.filter.score import FilterClips
from stages.manifest import ManifestRef
from stages.media import CLIP_TASK_FIELDS, clip_task
from stages.params import FilterParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.tasks import Row, Task, VideoTask

FATE = ("status", "reason", "error", "row_key", "decision_key")
CARRIED = tuple(
    name for name in ASSETS["filtered_clips"].schema.names if name in ASSETS["clips"].schema.names and name not in FATE
)
"""Columns that come from the clip's row and stay; all of them enter ``row_key``, since the row repeats them."""


class FilterPhase(Phase[FilterParams]):
    """Kept clips to the same clips with scores, kept or rejected by the first filter that they do not pass."""

    inputs = ("clips",)
    input_columns: ClassVar[Mapping[str, list[str]]] = {"clips": list(CARRIED)}
    key_columns = CARRIED

    def __init__(self, params: FilterParams, root: str) -> None:
        super().__init__(params, root)
        self.filters = build_filters(params)

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item a kept clip."""
        return inputs["clips"].select(CARRIED)

    def task(self, item: Row, task_id: str) -> Task:
        """One video with one clip."""
        return clip_task(item, task_id)

    def pipeline(self) -> Pipeline:
        """Pictures where needed, then scores."""
        return Pipeline("filter", [FilterClips(self.root, self.filters)], collect=_rows, provides=CLIP_TASK_FIELDS)

    def identity(self) -> dict[str, Any]:
        """What filters with models of their own depend on."""
        return {each.name: identity for each in self.filters if (identity := each.identity())}

    def decide(self, row: Row) -> Row:
        """Status, reason, error and thresholds from the stored scores; a row without scores stays as it is."""
        if row.get("scores") is None:
            return row
        thresholds = {name: value for each in self.filters for name, value in each.thresholds().items()}
        row = {**row, "thresholds": thresholds}
        miss = first_miss(self.filters, dict(row["scores"]), self.params.score_only)
        if miss is None:
            return {**row, "status": "kept", "reason": None, "error": None}
        return {**row, "status": "rejected", "reason": miss.filter, "error": miss.detail}


def _rows(task: Task) -> list[Row]:
    clip = cast(VideoTask, task).data.clip
    return [{**clip.columns, "status": "kept", "scores": dict(clip.scores)}]


def build_filters(params: FilterParams) -> list[Filter]:
    """The filters asked for, in order, each with its thresholds.

    Raises:
        ParamsError: an unknown filter, arguments that do not fit it, two of one name, or arguments or
            `score_only` for a filter that is not asked for.
    """
    arguments = _custom_arguments(params)
    filters = [_build(name, arguments.get(name), params) for name in params.filters]
    names = [each.name for each in filters]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ParamsError(f"filter.filters must name each filter once, got {doubled} twice.")
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
