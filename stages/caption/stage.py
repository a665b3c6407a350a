"""The stage that captions each window of a clip."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from stages.caption.answers import answer_rows
from stages.caption.measurements import measured_text
from stages.caption.prompts import Prompt
from stages.errors import StageError
from stages.media import with_clip
from stages.models import (
    Caption,
    Captioner,
    CaptionInput,
    ModelIdentity,
    check_same_model,
    construct,
    trusted_entries,
    trusting,
)
from stages.params import CaptionParams
from stages.stage import Fields, NodeInfo, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, Row, VideoTask, Window

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


class CaptionStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets the captions of each of ``clip.windows``: the answers to each prompt, or failures.

    A failed caption does not fail the others. Clips that bring answers keep them, and are not asked about.

    Args:
        params: the captioner.
        identity: the model and weights that are part of the row keys; the worker must load the same ones.
        prompts: what it is asked, one after another; of a captioner that reads none, a single empty one.
        waits_for_server: see `Captioner`.
        keeps_frames: a later stage reads them.
    """

    name = "caption"
    mixes_groups = True

    def __init__(
        self,
        params: CaptionParams,
        identity: ModelIdentity,
        prompts: Sequence[Prompt],
        *,
        waits_for_server: bool = False,
        keeps_frames: bool = False,
    ) -> None:
        self.params = params
        self.expected = identity
        self.prompts = tuple(prompts)
        self.keeps_frames = keeps_frames
        self.batch_size = params.batch_size
        self.resources = params.resources()
        self._trusted = trusted_entries()
        self._captioner: Captioner | None = None
        if waits_for_server:
            self.batch_size = self.share_requests(params.requests_in_flight)
        if params.captioner == "vllm" and params.requires_gpu:
            self.max_workers = 0  # each has a server of its own, on its share of a GPU

    def inputs(self) -> Fields:
        """Reads frames and windows."""
        return [], ["clips", "clips.frames", "clips.windows"]

    def outputs(self) -> Fields:
        """Adds the captions."""
        return [], ["clips.captions"]

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Bring the model to this node, where it is one that can be brought."""
        with trusting(self._trusted):
            fetch = getattr(construct("captioner", self.params.captioner, self.params), "fetch", None)
            if fetch is not None:
                fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the captioner.

        Raises:
            ParamsError: the weights on this machine differ from those of the driver.
        """
        with trusting(self._trusted):
            captioner: Captioner = construct("captioner", self.params.captioner, self.params)
            check_same_model(self.expected, captioner.identity(), worker_metadata.worker_id)
            captioner.setup(worker_metadata)
        self._captioner = captioner

    def process(self, task: VideoTask) -> Outcome:
        """The task with its captions."""
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """The outcome of each task. The captioner gets the windows of all clips, with all prompts, in one call."""
        if self._captioner is None:
            raise RuntimeError("setup must be called before process_batch.")
        asked = [task.data.clip for task in tasks if not _is_answered(task.data.clip)]
        inputs = [each for clip in asked for each in self._inputs(self._captioner, clip)]
        answers = iter(self._captioner.caption(inputs) if inputs else [])
        return [self._captioned(task, answers) for task in tasks]

    def _inputs(self, captioner: Captioner, clip: Clip) -> Iterator[CaptionInput]:
        if clip.frames is None:
            raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadWindowsStage first.")
        columns = {name: clip.columns.get(name) for name in captioner.columns}
        measured = measured_text(clip.columns)
        for window in clip.windows:
            places = list(window.pictures)
            times = [self._seconds(clip, int(pts)) - window.start_s for pts in clip.frames.pts[places]]
            for prompt in self.prompts:
                yield CaptionInput(
                    clip.frames.images[places],
                    window.end_s - window.start_s,
                    columns,
                    tuple(max(0.0, time) for time in times),
                    prompt.filled(measured=measured),
                    prompt.json_schema,
                    prompt.max_tokens,
                )

    def _seconds(self, clip: Clip, pts: int) -> float:
        return float((pts - clip.span.start_pts) * clip.span.time_base)

    def _captioned(self, task: VideoTask, answers: Iterator[Caption | Failed]) -> Outcome:
        clip = task.data.clip
        frames = clip.frames if self.keeps_frames else None
        if _is_answered(clip):
            return with_clip(task, replace(clip, frames=frames))
        windows = tuple(replace(window, captions=self._rows(clip, window, answers)) for window in clip.windows)
        columns = {**clip.columns, "dtype": getattr(self._captioner, "dtype", None)}
        return with_clip(task, replace(clip, frames=frames, windows=windows, columns=columns))

    def _rows(self, clip: Clip, window: Window, answers: Iterator[Caption | Failed]) -> tuple[Row, ...]:
        own: Row = {"model": self.expected.model, "weights_hash": self.expected.weights_hash or None}
        rows: list[Row] = []
        for prompt in self.prompts:
            made = answer_rows(next(answers), prompt, self.expected.model, clip.columns)
            rows += [{**own, "prompt_id": prompt.id or None, **row} for row in made]
        return tuple(rows)

    def teardown(self) -> None:
        """Release the captioner, and its connections."""
        close = getattr(self._captioner, "close", None)
        self._captioner = None
        if close is not None:
            close()


def _is_answered(clip: Clip) -> bool:
    return all(window.captions for window in clip.windows)
