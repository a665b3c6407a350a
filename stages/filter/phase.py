"""The filter phase: scores every clip once, and decides again whenever a threshold changes."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar, cast

import pyarrow as pa

from stages import registry
from stages.errors import ParamsError, concerning, did_you_mean
from stages.filter.base import Filter, first_violation
from stages.filter.reductions import parse_reductions, reduced
from stages.filter.signal_scores import SIGNAL_SCORES, SignalScores
from stages.filter.stage import MAX_FRAMES, FilterStage
from stages.filter.stored_scores import FilterScores, read_stored_scores, score_columns
from stages.manifest import CommittedFile, ManifestRef
from stages.media import CLIP_TASK_FIELDS, clip_length, clip_task, with_clip
from stages.params import FilterParams
from stages.phase import Phase, canonical, canonical_rows, key_values
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.storage import digest, digests
from stages.tasks import Row, Task, VideoLength, VideoTask

ASK = "ask"
"""The name in `filter.filters` of all questions together."""

T = TypeVar("T")

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
        self._named = named_filters(params)
        self.filters = [each for _, each in self._named]
        self.reductions = _reductions(params, self._named)
        self._signal_scores = SignalScores(self.storage(), self.reductions)
        arguments = _custom_arguments(params)
        self._entries = [arguments.get(dotted, {}) for dotted, _ in self._named]
        self._partly_scored: dict[str, dict[str, FilterScores]] = {}

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item per kept clip."""
        return inputs["clips"].select(COPIED_COLUMNS)

    def task(self, item: Row, task_id: str) -> Task:
        """A task with one video and one clip, which has the scores that are known already."""
        item = {**item, "score_keys": self.score_keys(item)}
        task = clip_task(item, task_id)
        known = self._partly_scored.pop(task_id.split("/", 1)[1], None)
        if known is None:
            return task
        columns = {name: value for each in known.values() for name, value in each.columns.items()}
        scores = {name: value for each in known.values() for name, value in each.scores.items()}
        pictures = {name: values for each in known.values() for name, values in each.pictures.items()}
        clip = replace(
            task.data.clip,
            columns={**item, **columns},
            scores=scores,
            picture_scores=pictures,
            scored_by=frozenset(known),
        )
        return with_clip(task, clip)

    def cost(self, item: Row) -> float:
        """Pictures that are read and scored."""
        return min(MAX_FRAMES, clip_length(item).seconds * (item["frames_fps"] or 1.0) + 1)

    def video_length(self, item: Row) -> VideoLength:
        """Of the clip."""
        return clip_length(item)

    def pipeline(self) -> Pipeline:
        """Loading frames where a filter needs them, then scoring."""
        return Pipeline(
            "filter",
            [FilterStage(self.root, self.filters, self.params.resources())],
            collect=_rows,
            provides=CLIP_TASK_FIELDS,
        )

    def identity(self) -> dict[str, Any]:
        """Identities of the filters that have one: their models and weights, and of users' own filters their code."""
        identity = {each.name: identity for each in self.filters if (identity := each.identity())}
        for index, name in enumerate(self.params.filters):
            with concerning(f"filter.filters.{index}"):
                identity |= registry.code_identity("filter", name)
        return identity

    def row_key(self, item: Row) -> str:
        """Hash of the filters' score keys, whatever their order, and of the columns that the row repeats."""
        copied = canonical(key_values(item, COPIED_COLUMNS))
        return digest(self.params.phase, self.params.code_version, canonical(self.score_keys(item)), copied)

    def row_keys(self, items: pa.Table) -> list[str]:
        """`row_key` of each item, in their order."""
        texts = {columns: canonical_rows(items, columns) for _, columns in self._score_key_parts.values()}
        by_filter = {name: digests([base], texts[columns]) for name, (base, columns) in self._score_key_parts.items()}
        score_keys = (
            canonical(dict(zip(by_filter, keys, strict=True))) for keys in zip(*by_filter.values(), strict=True)
        )
        copied = canonical_rows(items, COPIED_COLUMNS)
        first = [self.params.phase, self.params.code_version]
        return [digest(*first, *each) for each in zip(score_keys, copied, strict=True)]

    def score_keys(self, item: Row) -> dict[str, str]:
        """By filter, a hash of all that its scores of the item's clip depend on; thresholds do not belong to it."""
        return {
            name: digest(base, canonical(key_values(item, columns)))
            for name, (base, columns) in self._score_key_parts.items()
        }

    @cached_property
    def _score_key_parts(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """By filter, the hash of its arguments, models and code, and the columns of the clip's row that it reads."""
        return {
            each.name: (
                digest(
                    self.params.code_version,
                    each.name,
                    canonical([_arguments(each, entry), each.identity(), registry.code_identity("filter", dotted)]),
                ),
                COPIED_COLUMNS if each.columns is None else each.columns,
            )
            for (dotted, each), entry in zip(self._named, self._entries, strict=True)
        }

    def rows_without_work(
        self, output: ManifestRef, files: Collection[CommittedFile], items: Iterable[tuple[str, Row]]
    ) -> dict[str, list[Row]]:
        """The rows of clips whose scores all stand in some row of the table, made with other filters.

        What is known of the others is kept for their tasks, so that only missing filters score them.
        """
        stored = read_stored_scores(self.storage(), output, files) if files else {}
        rows: dict[str, list[Row]] = {}
        for row_key, item in items if stored else ():
            keys = self.score_keys(item)
            found = {name: stored[key] for name, key in keys.items() if key in stored}
            if len(found) == len(keys):
                rows[row_key] = [{**item, "status": "kept", "score_keys": keys, **score_columns(found.values())}]
            elif found:
                self._partly_scored[row_key] = found
        return rows

    def decide(self, row: Row) -> Row:
        """The row with status, reason, error, scores and thresholds set from what was measured.

        A row without scores is unchanged.
        """
        if row.get("scores") is None:
            return row
        pictures = dict(row.get("picture_scores") or {})
        scores = {**dict(row["scores"]), **self._reduced(pictures)}
        scores = self._in_order({**scores, **self._signal_scores.of(row, scores)})
        thresholds = {name: value for each in self.filters for name, value in each.thresholds().items()}
        keys = self._in_order(dict(row["score_keys"]))
        row = {**row, "scores": scores, "thresholds": thresholds, "score_keys": keys}
        row["picture_scores"] = self._in_order(pictures)
        violation = first_violation(self.filters, scores, self.params.score_only)
        if violation is None:
            return {**row, "status": "kept", "reason": None, "error": None}
        return {**row, "status": "rejected", "reason": violation.filter, "error": violation.detail}

    def _in_order(self, by_name: Mapping[str, T]) -> dict[str, T]:
        """The entries in the order of the filters that their names begin with, whichever scored first."""
        names = [name for each in self.filters for name in by_name if _names(each, name)]
        return {name: by_name[name] for name in dict.fromkeys([*names, *by_name])}

    def _reduced(self, pictures: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
        return {name: reduced(values, self.reductions.get(name, "mean")) for name, values in pictures.items()}


def _names(each: Filter, score: str) -> bool:
    return score == each.name or score.startswith(f"{each.name}_")


def _arguments(each: Filter, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the filter is built with, thresholds and others that it only judges by left out."""
    thresholds = {*(limit.threshold for limit in each.limits), *each.judges_by}
    return {name: value for name, value in entry.items() if name not in thresholds}


def _rows(task: Task) -> list[Row]:
    clip = cast(VideoTask, task).data.clip
    pictures = {name: list(values) for name, values in clip.picture_scores.items()}
    return [{**clip.columns, "status": "kept", "scores": dict(clip.scores), "picture_scores": pictures}]


def build_filters(params: FilterParams) -> list[Filter]:
    """The filters of `named_filters`, without their names there."""
    return [each for _, each in named_filters(params)]


def named_filters(params: FilterParams) -> list[tuple[str, Filter]]:
    """The filters that `filter.filters` names, in that order, with those names, each with its thresholds.

    Questions are a filter each, all named 'ask' there.

    Raises:
        ParamsError: a filter is unknown or named twice, its arguments do not fit its constructor, or `custom` or
            `score_only` names a filter that `filters` does not.
    """
    arguments = _custom_arguments(params)
    filters: list[tuple[str, Filter]] = []
    for index, name in enumerate(params.filters):
        with concerning(f"filter.filters.{index}"):
            filters += [(name, each) for each in _build(name, arguments.get(name), params)]
    names = [each.name for _, each in filters]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ParamsError(f"filter.filters must name each filter once, got {repeated} twice.", "filter.filters")
    unknown = sorted(set(params.score_only) - {"all", *names})
    if unknown:
        raise ParamsError(f"filter.score_only must be among {['all', *names]}, got {unknown}.", "filter.score_only")
    return filters


def _custom_arguments(params: FilterParams) -> dict[str, dict[str, Any]]:
    arguments: dict[str, dict[str, Any]] = {}
    for index, entry in enumerate(params.custom):
        name = entry.get("filter")
        if name not in params.filters or ":" not in str(name):
            raise ParamsError(
                "filter.custom must hold 'filter': a 'package.module:Class' that filter.filters names too, "
                f"got {name!r}. Add it to filter.filters.",
                f"filter.custom.{index}",
            )
        arguments[str(name)] = {key: value for key, value in entry.items() if key != "filter"}
    return arguments


def _build(name: str, arguments: dict[str, Any] | None, params: FilterParams) -> list[Filter]:
    loaded = registry.load("filter", name)
    if name == ASK:
        return [loaded(key, params) for key in params.ask_questions]
    if ":" not in name:
        arguments = {field.name: getattr(params, field.name) for field in dataclasses.fields(loaded)}
    try:
        return [loaded(**(arguments or {}))]
    except (TypeError, ValueError) as error:
        raise ParamsError(f"filter.custom for {name} must fit its constructor: {error}.") from error


def _reductions(params: FilterParams, named: Sequence[tuple[str, Filter]]) -> dict[str, str]:
    """By score, the reduction that `filter.reduce` names, else the filter's own.

    Raises:
        ParamsError: `filter.reduce` names a score that no filter gives one value a picture of.
    """
    chosen = parse_reductions(params.reduce)
    filters = [each for _, each in named]
    own = {name: reduction for each in filters for name, reduction in each.reductions.items()}
    known = {*own, *(each.name for each in filters if each.name in SIGNAL_SCORES)}
    users = [each for dotted, each in named if ":" in dotted]
    unknown = [name for name in chosen if name not in known and not any(_names(each, name) for each in users)]
    if unknown:
        raise ParamsError(
            f"filter.reduce must name scores that filter.filters measures picture by picture, {sorted(known)}, got "
            f"{unknown[0]!r}.{did_you_mean(unknown[0], known)}"
        )
    return {**own, **chosen}
