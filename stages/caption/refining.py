"""The stage in which a second model writes captions again, from their words."""

from dataclasses import replace
from typing import Any

import numpy as np

from stages.caption.answers import answer_rows
from stages.caption.checks import has_words
from stages.caption.measurements import measured_text
from stages.caption.prompts import Prompt
from stages.media import with_clip
from stages.models import CaptionInput, construct
from stages.params import CaptionParams
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, Row, VideoTask, Window

Outcome = VideoTask | list[VideoTask] | Rejected | Failed
_NO_PICTURES = np.zeros((0, 0, 0, 3), np.uint8)


class RefineStage(ProcessingStage[VideoTask, VideoTask]):
    """Puts, before the captions of each window, what the second model makes of each that has words.

    Args:
        params: of the phase; `refine_model` and where its server is.
        prompt: what it is asked.
    """

    name = "refine"

    def __init__(self, params: CaptionParams, prompt: Prompt) -> None:
        url = params.refine_base_url or params.base_url
        self.params = params.model_copy(
            update={"captioner": "openai", "model": params.refine_model, "base_url": url, "prompt": prompt.text}
        )
        self.prompt = prompt
        self.batch_size = self.share_requests(params.requests_in_flight)
        self._captioner: Any = None

    def inputs(self) -> Fields:
        """Reads the captions."""
        return [], ["clips.captions"]

    def outputs(self) -> Fields:
        """Adds captions."""
        return [], ["clips.refined_captions"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Make the client of the server.

        Raises:
            ParamsError: the extra ``servers`` is not installed.
        """
        captioner = construct("captioner", "openai", self.params)
        captioner.setup(worker_metadata)
        self._captioner = captioner

    def process(self, task: VideoTask) -> Outcome:
        """The task with the second model's captions."""
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """The outcome of each task; the captions of all are asked for at once."""
        asked = [
            (task.data.clip, row) for task in tasks for window in task.data.clip.windows for row in _refined(window)
        ]
        answers = iter(self._captioner.caption([self._input(clip, row) for clip, row in asked]))
        return [self._with_refined(task, answers) for task in tasks]

    def _input(self, clip: Clip, row: Row) -> CaptionInput:
        text = self.prompt.filled(measured=measured_text(clip.columns), caption=row["caption"])
        return CaptionInput(
            _NO_PICTURES, 0.0, {}, prompt=text, json_schema=self.prompt.json_schema, max_tokens=self.prompt.max_tokens
        )

    def _with_refined(self, task: VideoTask, answers: Any) -> VideoTask:
        clip = task.data.clip
        windows: list[Window] = []
        for window in clip.windows:
            rows: list[Row] = []
            for before in _refined(window):
                own = {
                    "model": self.params.model,
                    "prompt_id": self.prompt.id,
                    "refined_from": before["model"],
                    "field": before.get("field"),
                    "dtype": None,
                }
                made = answer_rows(next(answers), self.prompt, self.params.model, clip.columns)
                rows += [{**own, **row} for row in made]
            windows.append(replace(window, captions=(*rows, *window.captions)))
        return with_clip(task, replace(clip, windows=tuple(windows)))

    def teardown(self) -> None:
        """Close the connections."""
        if self._captioner is not None:
            self._captioner.close()
        self._captioner = None


def _refined(window: Window) -> list[Row]:
    return [row for row in window.captions if has_words(row)]
