"""The split phase: from kept videos to clips."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa

from stages import registry
from stages.manifest import ManifestRef
from stages.params import SplitParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.split.rows import SOURCE_COLUMNS, collect_clips
from stages.split.stage import SplitStage
from stages.tasks import Row, Task, Video, VideoTask


class SplitPhase(Phase[SplitParams]):
    """One item per kept video; its rows are its clips, or one row with the reason why it has none."""

    inputs: ClassVar[tuple[str, ...]] = ("videos",)
    key_columns: ClassVar[tuple[str, ...]] = ("video_id", *SOURCE_COLUMNS)

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """The kept videos, unchanged."""
        return inputs["videos"]

    def task(self, item: Row, task_id: str) -> Task:
        """A task about the whole video."""
        video = Video(item["video_id"], item["uri"], item["partition"], columns=item)
        return VideoTask(task_id, item["video_id"], data=video)

    def cost(self, item: Row) -> float:
        """Seconds of video; where no header gives the duration, an estimate at 2 Mbit/s."""
        return float(item["duration_s"] or (item["size_bytes"] or 0) / 250_000 or 1.0)

    def pipeline(self) -> Pipeline:
        """One stage: all work is done during one decode of the video."""
        return Pipeline("split", [SplitStage(self.params, self.root)], collect=collect_clips)

    def identity(self) -> dict[str, Any]:
        """The splitter's model and the hash of its weights; of a user's own splitter the version of its code too."""
        identity = registry.load("splitter", self.params.method)(self.params).identity()
        return {**identity, **registry.code_identity("splitter", self.params.method)}
