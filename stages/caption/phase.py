"""The caption phase: one text for each window of a clip, from frames of the frame store."""

import json
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, cast

import pyarrow as pa

from stages import registry
from stages.caption.stage import CaptionStage, no_windows, sample_clip
from stages.caption.windows import window_ranges
from stages.errors import ParamsError, concerning
from stages.manifest import ManifestRef
from stages.media import CLIP_TASK_FIELDS, FRAME_COLUMNS, FRAME_KEY_COLUMNS, LoadFramesStage, clip_length, clip_task
from stages.models import Captioner, construct
from stages.params import CaptionParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.storage import digest
from stages.tasks import Failed, Rejected, Row, Task, VideoLength, VideoTask, Window


class CaptionPhase(Phase[CaptionParams]):
    """Captions kept clips. Its row keys depend on the clip, its frames and the columns that the captioner reads."""

    inputs = ("filtered_clips",)
    key_columns = (*FRAME_KEY_COLUMNS, "start_frame", "end_frame", "read_by_captioner")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item per kept clip.

        Raises:
            ParamsError: the captioner reads a column that filtered_clips does not have.
        """
        clips = inputs["filtered_clips"]
        captioner_columns = list(self._captioner.columns)
        unknown = set(captioner_columns) - set(clips.column_names)
        if unknown:
            raise ParamsError(
                f"Captioner {self.params.captioner!r} must read columns of filtered_clips, got {sorted(unknown)}. "
                f"There are {clips.column_names}.",
                "caption.captioner",
            )
        values = [json.dumps(row, sort_keys=True, default=str) for row in clips.select(captioner_columns).to_pylist()]
        columns = [*FRAME_COLUMNS, *(name for name in captioner_columns if name not in FRAME_COLUMNS)]
        # A selection of no columns has no row count in Arrow.
        values = values if captioner_columns else ["{}"] * len(clips)
        return clips.select(columns).append_column("read_by_captioner", pa.array(values, pa.string()))

    def task(self, item: Row, task_id: str) -> Task:
        """A task with one video and one clip."""
        return clip_task(item, task_id)

    def cost(self, item: Row) -> float:
        """Windows, each of which is captioned; a clip too short for any is rejected."""
        num_frames = item["end_frame"] - item["start_frame"]
        return len(window_ranges(num_frames, self.params.window_frames, self.params.window_remainder_frames)) or 0.1

    def video_length(self, item: Row) -> VideoLength:
        """Of the clip."""
        return clip_length(item)

    def pipeline(self) -> Pipeline:
        """Loading the frames that the windows need, then captioning each window."""
        identity = self._captioner.identity()
        loading = LoadFramesStage(
            self.root, select=partial(sample_clip, self.params), batch_size=self.params.batch_size
        )
        model_columns: Row = {
            "model": identity.model,
            "weights_hash": identity.weights_hash or None,
            "prompt_id": digest(self.params.prompt) if self._captioner.reads_prompt else None,
        }
        waits_for_server = getattr(self._captioner, "waits_for_server", False)
        stages = [loading, CaptionStage(self.params, identity, waits_for_server=waits_for_server)]
        return Pipeline(
            "caption", stages, collect=partial(_rows, self.params, model_columns), provides=CLIP_TASK_FIELDS
        )

    def identity(self) -> dict[str, Any]:
        """The captioner's model and the hash of its weights; of a user's own captioner the version of its code too."""
        with concerning("caption.captioner"):
            identity = self._captioner.identity().as_dict()
            return {**identity, **registry.code_identity("captioner", self.params.captioner)}

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """The row of a clip without windows: rejected if the clip is too short, even if loading its frames failed."""
        num_frames = item["end_frame"] - item["start_frame"]
        if not window_ranges(num_frames, self.params.window_frames, self.params.window_remainder_frames):
            outcome = no_windows(num_frames)
        return super().outcome_row(item, outcome)

    @cached_property
    def _captioner(self) -> Captioner:
        with concerning("caption.captioner"):
            return construct("captioner", self.params.captioner, self.params)


def _rows(params: CaptionParams, model_columns: Row, task: Task) -> list[Row]:
    """One row per window of the clip."""
    clip = cast(VideoTask, task).data.clip
    copied: Row = {name: clip.columns.get(name) for name in ASSETS["captions"].schema.names}
    return [
        {**copied, **model_columns, **_window_columns(params, window, model_columns["model"])}
        for window in clip.windows
    ]


def _window_columns(params: CaptionParams, window: Window, model: str) -> Row:
    outcome = window.failures.get(model)
    tokens, prompt_tokens = window.tokens.get(model), window.prompt_tokens.get(model)
    return {
        "window_index": window.index,
        "window_start_frame": window.start_frame,
        "window_end_frame": window.end_frame,
        "caption": window.captions.get(model),
        "tokens": tokens,
        "prompt_tokens": prompt_tokens,
        "cost": _cost(params, tokens, prompt_tokens),
        **_outcome_columns(outcome),
    }


def _outcome_columns(outcome: Failed | Rejected | None) -> Row:
    if outcome is None:
        return {"status": "kept", "reason": None, "error": None}
    if isinstance(outcome, Failed):
        return {"status": "failed", "reason": outcome.reason.value, "error": outcome.error}
    return {"status": "rejected", "reason": outcome.reason, "error": outcome.detail}


def _cost(params: CaptionParams, tokens: int | None, prompt_tokens: int | None) -> float | None:
    """What the window's tokens cost; None where prices or tokens are not known."""
    if tokens is None or prompt_tokens is None or not (params.price_input or params.price_output):
        return None
    return (prompt_tokens * params.price_input + tokens * params.price_output) / 1e6
