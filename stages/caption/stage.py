"""The stage that shows each window of a clip to a captioner."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages import registry
from stages.caption.windows import MIN_FRAMES, pictures_in, pictures_of, windows
from stages.errors import Reason, StageError
from stages.media import with_clip
from stages.models import Caption, Captioner, CaptionInput, ModelIdentity, check_same_model, replace_surrogates
from stages.params import CaptionParams
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, VideoTask, Window

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


@dataclass(frozen=True, slots=True)
class _Asked:
    """A window, and what the captioner is shown of it."""

    window: Window
    shown: CaptionInput


class CaptionStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.windows``, each with a caption or a failure under the captioner's model name.

    A window that fails leaves the others alone. A clip that is too short for a window is rejected.

    Args:
        params: which captioner, and the windows' lengths.
        identity: the model and weights that the rows' keys were made with; the worker must hold the same.
    """

    name = "caption"

    def __init__(self, params: CaptionParams, identity: ModelIdentity) -> None:
        self.params = params
        self.expected = identity
        self.batch_size = params.batch_size
        self._captioner: Captioner | None = None

    def inputs(self) -> Fields:
        """Needs pictures."""
        return [], ["clips", "clips.frames"]

    def outputs(self) -> Fields:
        """Adds the windows."""
        return [], ["clips.windows"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the captioner.

        Raises:
            ParamsError: this machine holds other weights than the one that planned the run.
        """
        captioner: Captioner = registry.load("captioner", self.params.captioner)(self.params)
        check_same_model(self.expected, captioner.identity(), worker_metadata.worker_id)
        captioner.setup(worker_metadata)
        self._captioner = captioner

    def process(self, task: VideoTask) -> Outcome:
        """The task with its windows."""
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """All windows of all clips are handed over together."""
        if self._captioner is None:
            raise RuntimeError("setup must be called before process_batch.")
        asked = [self._asked(task.data.clip) for task in tasks]
        answers = iter(self._captioner.caption([entry.shown for entries in asked for entry in entries]))
        return [
            self._done(task, [self._told(entry.window, next(answers)) for entry in entries])
            for task, entries in zip(tasks, asked, strict=True)
        ]

    def _asked(self, clip: Clip) -> list[_Asked]:
        spans = _windows(self.params, clip)
        return [self._show(clip, Window(number, *span)) for number, span in enumerate(spans)]

    def _show(self, clip: Clip, window: Window) -> _Asked:
        if clip.frames is None or clip.frames.index is None or self._captioner is None:
            raise StageError(
                f"Clip {clip.clip_id} must carry pictures with their index, got none. Put LoadFramesStage first."
            )
        index = (clip.frames.index - clip.start_frame).tolist()
        places = pictures_in(index, window.start_frame, window.end_frame, self.params.max_frames)
        share = (window.end_frame - window.start_frame) / clip.num_frames
        columns = {name: clip.columns.get(name) for name in self._captioner.columns}
        return _Asked(window, CaptionInput(clip.frames.images[places], clip.span.duration_s * share, columns))

    def _told(self, window: Window, answer: Caption | Failed) -> Window:
        model = self.expected.model
        if isinstance(answer, Caption) and not answer.text.strip():
            answer = Failed(Reason.EMPTY_CAPTION, f"The caption must hold a word, got none from {model}.")
        if isinstance(answer, Failed):
            return replace(window, failures={model: replace(answer, error=replace_surrogates(answer.error))})
        return replace(window, captions={model: replace_surrogates(answer.text.strip())}, tokens={model: answer.tokens})

    def _done(self, task: VideoTask, told: list[Window]) -> Outcome:
        if not told:
            return no_windows(task.data.clip.num_frames)
        return with_clip(task, replace(task.data.clip, frames=None, windows=tuple(told)))

    def teardown(self) -> None:
        """Let go of the captioner."""
        self._captioner = None


def pictures_for(params: CaptionParams, clip: Clip, index: Sequence[int]) -> list[int]:
    """Places of the pictures that the windows of a clip are shown, for `LoadFramesStage`; at least one.

    Args:
        params: the windows' lengths, and pictures of each.
        clip: the clip.
        index: frame of the video that each picture shows, ascending.
    """
    return pictures_of([frame - clip.start_frame for frame in index], _windows(params, clip), params.max_frames)


def _windows(params: CaptionParams, clip: Clip) -> list[tuple[int, int]]:
    return windows(clip.num_frames, params.window_frames, params.window_remainder_frames)


def no_windows(num_frames: int) -> Rejected:
    """The fate of a clip that is too short for a window."""
    return Rejected(Reason.NO_WINDOWS, f"A window must have at least {MIN_FRAMES} frames, got {num_frames}.")
