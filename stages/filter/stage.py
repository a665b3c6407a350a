"""The stages of the filter phase. Frames are loaded only where a filter reads them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.filter.base import ROW_COLUMNS, Filter, Measured, Score, Scores
from stages.filter.question_filter import AskStage, QuestionFilter, some_frames
from stages.media import LoadFramesStage, with_clip
from stages.models import trusted_entries, trusting
from stages.resources import ONE_CPU, Resources
from stages.stage import CompositeStage, Fields, NodeInfo, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, VideoTask

BATCH_CLIPS = 16
MAX_FRAMES = 256
"""Sampled frames of a clip at most, evenly spaced over it: 2 minutes at 2 per second, 90 MB."""


class FilterStage(CompositeStage):
    """Scores every clip with every filter. Decomposes into loading frames, scoring, and asking questions."""

    name = "filter_clips"

    def __init__(self, root: str, filters: list[Filter], resources: Resources = ONE_CPU) -> None:
        self.root = root
        self.filters = filters
        self.resources = resources

    def decompose(self) -> list[Any]:
        """`LoadFramesStage` where a filter needs frames, `ScoreStage`, and `AskStage` where there are questions."""
        loading: list[Any] = []
        if any(each.needs_frames for each in self.filters):
            loading.append(
                LoadFramesStage(
                    self.root,
                    max_frames=MAX_FRAMES,
                    batch_size=BATCH_CLIPS,
                    wanted_by=_WantedBy(frozenset(each.name for each in self.filters if each.needs_frames)),
                    marks_wanted_by=_WantedBy(frozenset(each.name for each in self.filters if each.needs_marks)),
                )
            )
        questions = [each for each in self.filters if isinstance(each, QuestionFilter)]
        others = [each for each in self.filters if not isinstance(each, QuestionFilter)]
        if not questions:
            return [*loading, ScoreStage(others, self.resources)]
        scoring = [ScoreStage(others, self._resources_of(others), kept_frames=questions[0].num_pictures)]
        return [*loading, *(scoring if others else []), AskStage(questions, questions[0].model)]

    def _resources_of(self, others: list[Filter]) -> Resources:
        """Beside questions, whose model has the device, only filters with models of their own get a share too."""
        return self.resources if any(type(each).setup is not Filter.setup for each in others) else ONE_CPU


@dataclass(frozen=True)
class _WantedBy:
    """True for clips that one of these filters has not scored yet."""

    filters: frozenset[str]

    def __call__(self, clip: Clip) -> bool:
        return not self.filters <= clip.scored_by


class ScoreStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets the scores of the filters that have not scored the clip yet. It decides nothing: the driver does.

    Args:
        filters: that score.
        resources: of a worker.
        kept_frames: frames of a clip, spread evenly, that the next stage reads.
    """

    name = "score"
    batch_size = BATCH_CLIPS

    def __init__(self, filters: list[Filter], resources: Resources = ONE_CPU, *, kept_frames: int = 0) -> None:
        self.filters = filters
        self.resources = resources
        # A device gets pictures of many clips at once, whichever videos they are of.
        self.mixes_groups = resources.requires_gpu
        self._trusted = trusted_entries()
        self.kept_frames = kept_frames

    def inputs(self) -> Fields:
        """Reads frames where a filter needs them."""
        needs_frames = any(each.needs_frames for each in self.filters)
        return [], ["clips", *(["clips.frames"] if needs_frames else [])]

    def outputs(self) -> Fields:
        """Adds the scores."""
        return [], ["clips.scores"]

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Bring the weights of every filter to this node."""
        with trusting(self._trusted):
            for each in self.filters:
                each.fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Set up every filter."""
        with trusting(self._trusted):
            for each in self.filters:
                each.setup(worker_metadata)

    def process(self, task: VideoTask) -> VideoTask:
        """The task with all scores, and with no more frames than a later stage reads."""
        return self._scored([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[VideoTask | list[VideoTask] | Rejected | Failed]:
        """The tasks likewise; each filter gets all clips that it has not scored in one call."""
        return [*self._scored(tasks)]

    def _scored(self, tasks: Sequence[VideoTask]) -> list[VideoTask]:
        clips = [task.data.clip for task in tasks]
        scored = list(clips)
        for each in self.filters:
            wanted = [index for index, clip in enumerate(clips) if each.name not in clip.scored_by]
            measured = each.score_all([clips[index] for index in wanted]) if wanted else []
            for index, found in zip(wanted, measured, strict=True):
                scored[index] = _with_scores(scored[index], each, found)
        return [with_clip(task, self._without_frames(clip)) for task, clip in zip(tasks, scored, strict=True)]

    def _without_frames(self, clip: Clip) -> Clip:
        kept = some_frames(clip, self.kept_frames) if self.kept_frames and clip.frames is not None else None
        return replace(clip, frames=kept)


def _with_scores(clip: Clip, each: Filter, measured: Score | Scores | Measured) -> Clip:
    """The clip with what a filter measured of it."""
    scores, pictures, columns = dict(clip.scores), dict(clip.picture_scores), dict(clip.columns)
    if isinstance(measured, Measured):
        columns |= measured.columns
        measured = measured.scores
    if (dtype_column := f"{each.name}_dtype") in ROW_COLUMNS.get(each.name, ()):
        columns[dtype_column] = each.dtype_computed
    for name, value in _scores_by_name(each, measured).items():
        if isinstance(value, np.ndarray):
            pictures[name] = tuple(value[np.isfinite(value)].tolist())
        else:
            scores[name] = _none_if_nan(value)
    return replace(clip, scores=scores, picture_scores=pictures, columns=columns)


def _scores_by_name(each: Filter, score: Score | Scores) -> Scores:
    return score if isinstance(score, Mapping) else {each.name: score}


def _none_if_nan(value: float | None) -> float | None:
    """None for NaN, which means that the score could not be measured."""
    return None if value is None or math.isnan(value) else float(value)
