"""Scoring clips: one user-facing stage, which loads pictures only where a filter looks at them."""

import math
from dataclasses import replace
from typing import Any

from stages.filter.base import Filter, Scores
from stages.media import LoadFramesStage, with_clip
from stages.stage import CompositeStage, Fields, ProcessingStage, WorkerMetadata
from stages.tasks import VideoTask

BATCH_CLIPS = 16
MAX_PICTURES = 256
"""Of a very long clip, look at so many pictures spread over it: 2 minutes at 2 a second, 90 MB."""


class FilterClips(CompositeStage):
    """Scores every clip by every filter; becomes loading and scoring."""

    name = "filter_clips"

    def __init__(self, root: str, filters: list[Filter]) -> None:
        self.root = root
        self.filters = filters

    def decompose(self) -> list[Any]:
        """`LoadFramesStage` where some filter needs pictures, then `ScoreStage`."""
        loading: list[Any] = []
        if any(each.needs_frames for each in self.filters):
            loading.append(LoadFramesStage(self.root, max_frames=MAX_PICTURES, batch_size=BATCH_CLIPS))
        return [*loading, ScoreStage(self.filters)]


class ScoreStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.scores``. Judges nothing: deciding needs no worker."""

    name = "score"
    batch_size = BATCH_CLIPS

    def __init__(self, filters: list[Filter]) -> None:
        self.filters = filters

    def inputs(self) -> Fields:
        """Pictures, where a filter looks at them."""
        needs_frames = any(each.needs_frames for each in self.filters)
        return [], ["clips", *(["clips.frames"] if needs_frames else [])]

    def outputs(self) -> Fields:
        """The scores."""
        return [], ["clips.scores"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Let filters load their models."""
        for each in self.filters:
            each.setup(worker_metadata)

    def process(self, task: VideoTask) -> VideoTask:
        """The task with scores, its pictures dropped: nothing after this needs them."""
        clip = task.data.clip
        scores: dict[str, float | None] = {}
        for each in self.filters:
            scores.update(_named(each, each.score(clip)))
        return with_clip(task, replace(clip, scores=scores, frames=None))


def _named(each: Filter, score: float | Scores | None) -> dict[str, float | None]:
    scores = {each.name: score} if score is None or isinstance(score, int | float) else score
    return {name: _measured(value) for name, value in scores.items()}


def _measured(value: float | None) -> float | None:
    """Not a number is not measured."""
    return None if value is None or math.isnan(value) else float(value)
