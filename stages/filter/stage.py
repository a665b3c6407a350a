"""The stages of the filter phase. Frames are loaded only where a filter reads them."""

import math
from dataclasses import replace
from typing import Any

from stages.filter.base import Filter, Scores
from stages.media import LoadFramesStage, with_clip
from stages.stage import CompositeStage, Fields, ProcessingStage, WorkerMetadata
from stages.tasks import VideoTask

BATCH_CLIPS = 16
MAX_FRAMES = 256
"""Sampled frames of a clip at most, evenly spaced over it: 2 minutes at 2 per second, 90 MB."""


class FilterStage(CompositeStage):
    """Scores every clip with every filter. Decomposes into loading frames and scoring."""

    name = "filter_clips"

    def __init__(self, root: str, filters: list[Filter]) -> None:
        self.root = root
        self.filters = filters

    def decompose(self) -> list[Any]:
        """`LoadFramesStage` where a filter needs frames, then `ScoreStage`."""
        loading: list[Any] = []
        if any(each.needs_frames for each in self.filters):
            loading.append(LoadFramesStage(self.root, max_frames=MAX_FRAMES, batch_size=BATCH_CLIPS))
        return [*loading, ScoreStage(self.filters)]


class ScoreStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.scores``. It decides nothing: the driver decides from the scores."""

    name = "score"
    batch_size = BATCH_CLIPS

    def __init__(self, filters: list[Filter]) -> None:
        self.filters = filters

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
        """The task with scores and without frames, which no later stage reads."""
        clip = task.data.clip
        scores: dict[str, float | None] = {}
        for each in self.filters:
            scores.update(_scores_by_name(each, each.score(clip)))
        return with_clip(task, replace(clip, scores=scores, frames=None))


def _scores_by_name(each: Filter, score: float | Scores | None) -> dict[str, float | None]:
    scores = {each.name: score} if score is None or isinstance(score, int | float) else score
    return {name: _none_if_nan(value) for name, value in scores.items()}


def _none_if_nan(value: float | None) -> float | None:
    """None for NaN, which means that the score could not be measured."""
    return None if value is None or math.isnan(value) else float(value)
