"""The caption phase: a text for each window of a clip, from pictures of the frame store."""

import json
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, cast

import pyarrow as pa

from stages import registry
from stages.caption.stage import CaptionStage, no_windows, pictures_for
from stages.caption.windows import windows
from stages.errors import ParamsError
from stages.manifest import ManifestRef
from stages.media import CLIP_TASK_FIELDS, FRAME_COLUMNS, FRAME_KEY_COLUMNS, LoadFramesStage, clip_task
from stages.models import Captioner
from stages.params import CaptionParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.storage import digest
from stages.tasks import Failed, Rejected, Row, Task, VideoTask, Window


class CaptionPhase(Phase[CaptionParams]):
    """Kept clips to captions. Hangs on the clip, its pictures and what the captioner reads, not on the filters."""

    inputs = ("filtered_clips",)
    key_columns = (*FRAME_KEY_COLUMNS, "start_frame", "end_frame", "read_by_captioner")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item a kept clip.

        Raises:
            ParamsError: the captioner asks for a column that filtered_clips does not have.
        """
        clips = inputs["filtered_clips"]
        asked = list(self._captioner.columns)
        unknown = set(asked) - set(clips.column_names)
        if unknown:
            raise ParamsError(
                f"Captioner {self.params.captioner!r} must read columns of filtered_clips, got {sorted(unknown)}. "
                f"There are {clips.column_names}."
            )
        values = [json.dumps(row, sort_keys=True, default=str) for row in clips.select(asked).to_pylist()]
        columns = [*FRAME_COLUMNS, *(name for name in asked if name not in FRAME_COLUMNS)]
        # Without columns Arrow forgets how many rows there were.
        values = values if asked else ["{}"] * len(clips)
        return clips.select(columns).append_column("read_by_captioner", pa.array(values, pa.string()))

    def task(self, item: Row, task_id: str) -> Task:
        """One video with one clip."""
        return clip_task(item, task_id)

    def pipeline(self) -> Pipeline:
        """The clip's pictures, then a text for each window."""
        identity = self._captioner.identity()
        loading = LoadFramesStage(self.root, pick=partial(pictures_for, self.params), batch_size=self.params.batch_size)
        common: Row = {
            "model": identity.model,
            "weights_hash": identity.weights_hash or None,
            "prompt_id": digest(self.params.prompt) if self._captioner.reads_prompt else None,
        }
        stages = [loading, CaptionStage(self.params, identity)]
        return Pipeline("caption", stages, collect=partial(_rows, common), provides=CLIP_TASK_FIELDS)

    def identity(self) -> dict[str, Any]:
        """The captioner's model and the hash of its weights."""
        return self._captioner.identity().as_dict()

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """The row of a clip without windows; one that is too short is rejected even where it has no picture either."""
        num_frames = item["end_frame"] - item["start_frame"]
        if not windows(num_frames, self.params.window_frames, self.params.window_remainder_frames):
            outcome = no_windows(num_frames)
        return super().outcome_row(item, outcome)

    @cached_property
    def _captioner(self) -> Captioner:
        return registry.load("captioner", self.params.captioner)(self.params)


def _rows(common: Row, task: Task) -> list[Row]:
    """One row a window of the finished clip."""
    clip = cast(VideoTask, task).data.clip
    carried: Row = {name: clip.columns.get(name) for name in ASSETS["captions"].schema.names}
    return [{**carried, **common, **_told(window, common["model"])} for window in clip.windows]


def _told(window: Window, model: str) -> Row:
    failure = window.failures.get(model)
    return {
        "window_index": window.index,
        "window_start_frame": window.start_frame,
        "window_end_frame": window.end_frame,
        "caption": window.captions.get(model),
        "tokens": window.tokens.get(model),
        "status": "failed" if failure else "kept",
        "reason": failure.reason.value if failure else None,
        "error": failure.error if failure else None,
    }
