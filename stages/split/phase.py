"""The split phase: from kept videos to clips."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar

import pyarrow as pa

from stages import registry
from stages.errors import concerning
from stages.manifest import ManifestRef
from stages.models import construct, speech_identity
from stages.params import SPEECH, SplitParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.split.plan_stage import PlanStage
from stages.split.rows import SOURCE_COLUMNS
from stages.split.section_tasks import PART_FRAMES, again, collect
from stages.split.stage import SplitStage
from stages.tasks import Row, Task, Video, VideoLength, VideoTask

SPLITTER_MS = 18.0
MEGAPIXEL_MS = 3.4
"""Milliseconds of one core for a frame: TransNetV2, whatever the frame's size, and the decode of a million pixels.
Measured with H.264 of 96x64 to 1920x1080; only the ratio matters."""


class SplitPhase(Phase[SplitParams]):
    """One item per kept video; its rows are its clips, or one row with the reason why it has none."""

    inputs: ClassVar[tuple[str, ...]] = ("videos",)
    key_columns: ClassVar[tuple[str, ...]] = ("video_id", *SOURCE_COLUMNS)
    longest_first = True
    frame_counter = "decoded_frames"
    part_counter = PART_FRAMES

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """The kept videos, unchanged."""
        return inputs["videos"]

    def task(self, item: Row, task_id: str) -> Task:
        """A task about the whole video."""
        video = Video(item["video_id"], item["uri"], item["partition"], columns=item)
        return VideoTask(task_id, item["video_id"], data=video)

    def cost(self, item: Row) -> float:
        """Seconds on a core of 2024: decoding goes by pixels, the network by frames."""
        megapixels = (item["width"] or 0) * (item["height"] or 0) / 1e6
        frame_ms = SPLITTER_MS if self.params.method != "fixed_stride" else 0.2
        return self.video_length(item).frames * (frame_ms + MEGAPIXEL_MS * megapixels) / 1000

    def video_length(self, item: Row) -> VideoLength:
        """From the header; where it gives no duration, an estimate at 2 Mbit/s, and 25 frames a second."""
        seconds = float(item["duration_s"] or (item["size_bytes"] or 0) / 250_000 or 1.0)
        rate = float(Fraction(item["average_rate"] or 25))
        return VideoLength(seconds, max(1.0, item["num_frames"] or seconds * rate))

    def pipeline(self) -> Pipeline:
        """A stage that does all work during one decode of a video, and before it one that divides long videos."""
        split = SplitStage(self.params, self.root)
        if not self.params.section_s:
            return Pipeline("split", [split], collect=collect)
        return Pipeline("split", [PlanStage(self.params, self.root), split], collect=collect, again=again)

    def identity(self) -> dict[str, Any]:
        """The splitter's model and the hash of its weights; of a user's own splitter the version of its code too."""
        with concerning("split.method"):
            identity = construct("splitter", self.params.method, self.params).identity()
            identity = {**identity, **registry.code_identity("splitter", self.params.method)}
        with concerning("split.signals"):
            return {**identity, **(speech_identity() if SPEECH in self.params.signals else {})}
