"""The stages of the filter phase. Frames are loaded only where a filter reads them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.filter.base import Filter, Measured, Score, Scores
from stages.media import LoadFramesStage, with_clip
from stages.resources import ONE_CPU, Resources
from stages.stage import CompositeStage, Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, VideoTask

BATCH_CLIPS = 16
MAX_FRAMES = 256
"""Sampled frames of a clip at most, evenly spaced over it: 2 minutes at 2 per second, 90 MB."""


class FilterStage(CompositeStage):
    """Scores every clip with every filter. Decomposes into loading frames and scoring."""

    name = "filter_clips"

    def __init__(self, root: str, filters: list[Filter], resources: Resources = ONE_CPU) -> None:
        self.root = root
        self.filters = filters
        self.resources = resources

    def decompose(self) -> list[Any]:
        """`LoadFramesStage` where a filter needs frames, then `ScoreStage`."""
        loading: list[Any] = []
        if any(each.needs_frames for each in self.filters):
            wanted_by = _FramesWanted(frozenset(each.name for each in self.filters if each.needs_frames))
            loading.append(
                LoadFramesStage(self.root, max_frames=MAX_FRAMES, batch_size=BATCH_CLIPS, wanted_by=wanted_by)
            )
        return [*loading, ScoreStage(self.filters, self.resources)]


@dataclass(frozen=True)
class _FramesWanted:
    """True for clips that one of these filters has not scored yet."""

    filters: frozenset[str]

    def __call__(self, clip: Clip) -> bool:
        return not self.filters <= clip.scored_by


class ScoreStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets the scores of the filters that have not scored the clip yet. It decides nothing: the driver does."""

    name = "score"
    batch_size = BATCH_CLIPS

    def __init__(self, filters: list[Filter], resources: Resources = ONE_CPU) -> None:
        self.filters = filters
        self.resources = resources

    def inputs(self) -> Fields:
        """Reads frames where a filter needs them."""
        needs_frames = any(each.needs_frames for each in self.filters)
        return [], ["clips", *(["clips.frames"] if needs_frames else [])]

    def outputs(self) -> Fields:
        """Adds the scores."""
        return [], ["clips.scores"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Set up every filter."""
        for each in self.filters:
            each.setup(worker_metadata)

    def process(self, task: VideoTask) -> VideoTask:
        """The task with all scores and without frames, which no later stage reads."""
        clip = task.data.clip
        scores, pictures, columns = dict(clip.scores), dict(clip.picture_scores), dict(clip.columns)
        for each in self.filters:
            if each.name in clip.scored_by:
                continue
            measured = each.score(clip)
            if isinstance(measured, Measured):
                columns |= measured.columns
                measured = measured.scores
            for name, value in _scores_by_name(each, measured).items():
                if isinstance(value, np.ndarray):
                    pictures[name] = tuple(value[np.isfinite(value)].tolist())
                else:
                    scores[name] = _none_if_nan(value)
        return with_clip(task, replace(clip, scores=scores, picture_scores=pictures, columns=columns, frames=None))


def _scores_by_name(each: Filter, score: Score | Scores) -> Scores:
    return score if isinstance(score, Mapping) else {each.name: score}


def _none_if_nan(value: float | None) -> float | None:
    """None for NaN, which means that the score could not be measured."""
    return None if value is None or math.isnan(value) else float(value)
