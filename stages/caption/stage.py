"""The stage that captions each window of a clip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.caption.windows import MIN_FRAMES, sample_window, sample_windows, window_ranges
from stages.errors import Reason, StageError
from stages.media import with_clip
from stages.models import (
    Caption,
    Captioner,
    CaptionInput,
    ModelIdentity,
    check_same_model,
    construct,
    replace_surrogates,
)
from stages.params import CaptionParams
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, VideoTask, Window

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


@dataclass(frozen=True, slots=True)
class _Request:
    """A window and the captioner's input for it."""

    window: Window
    caption_input: CaptionInput


class CaptionStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.windows``, each with a caption or a failure under the captioner's model name.

    A failed window does not fail the other windows. A clip that is too short for a window is rejected.

    Args:
        params: the captioner, and the lengths of windows.
        identity: the model and weights that are part of the row keys; the worker must load the same ones.
        waits_for_server: see `Captioner`.
    """

    name = "caption"
    mixes_groups = True

    def __init__(self, params: CaptionParams, identity: ModelIdentity, *, waits_for_server: bool = False) -> None:
        self.params = params
        self.expected = identity
        self.batch_size = params.batch_size
        self.resources = params.resources()
        self._captioner: Captioner | None = None
        if waits_for_server:
            self.batch_size = self.share_requests(params.requests_in_flight)

    def inputs(self) -> Fields:
        """Reads frames."""
        return [], ["clips", "clips.frames"]

    def outputs(self) -> Fields:
        """Adds the windows."""
        return [], ["clips.windows"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the captioner.

        Raises:
            ParamsError: the weights on this machine differ from those of the driver.
        """
        captioner: Captioner = construct("captioner", self.params.captioner, self.params)
        check_same_model(self.expected, captioner.identity(), worker_metadata.worker_id)
        captioner.setup(worker_metadata)
        self._captioner = captioner

    def process(self, task: VideoTask) -> Outcome:
        """The task with its windows and without its frames, or `Rejected`."""
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """The outcome of each task. The captioner gets the windows of all clips in one call."""
        if self._captioner is None:
            raise RuntimeError("setup must be called before process_batch.")
        requests = [self._requests(task.data.clip) for task in tasks]
        results = iter(self._captioner.caption([request.caption_input for of_clip in requests for request in of_clip]))
        return [
            self._outcome(task, [self._captioned(request.window, next(results)) for request in of_clip])
            for task, of_clip in zip(tasks, requests, strict=True)
        ]

    def _requests(self, clip: Clip) -> list[_Request]:
        ranges = _clip_ranges(self.params, clip)
        return [self._request(clip, Window(number, *frames)) for number, frames in enumerate(ranges)]

    def _request(self, clip: Clip, window: Window) -> _Request:
        if clip.frames is None or clip.frames.index is None or self._captioner is None:
            raise StageError(
                f"Clip {clip.clip_id} must carry pictures with their index, got none. Put LoadFramesStage first."
            )
        index = (clip.frames.index - clip.start_frame).tolist()
        positions = sample_window(index, window.start_frame, window.end_frame, self.params.max_frames)
        share = (window.end_frame - window.start_frame) / clip.num_frames
        columns = {name: clip.columns.get(name) for name in self._captioner.columns}
        return _Request(window, CaptionInput(clip.frames.images[positions], clip.span.duration_s * share, columns))

    def _captioned(self, window: Window, result: Caption | Failed) -> Window:
        model = self.expected.model
        if isinstance(result, Caption) and result.is_cut:
            cut = Rejected(Reason.CUT_SHORT, _cut_message(result))
            return replace(window, failures={model: cut}, **_tokens(model, result))
        if isinstance(result, Caption) and not result.text.strip():
            result = Failed(Reason.EMPTY_CAPTION, f"The caption must hold a word, got none from {model}.")
        if isinstance(result, Failed):
            return replace(window, failures={model: replace(result, error=replace_surrogates(result.error))})
        captions = {model: replace_surrogates(result.text.strip())}
        return replace(window, captions=captions, **_tokens(model, result))

    def _outcome(self, task: VideoTask, windows: list[Window]) -> Outcome:
        if not windows:
            return no_windows(task.data.clip.num_frames)
        clip = task.data.clip
        columns = {**clip.columns, "dtype": getattr(self._captioner, "dtype", None)}
        return with_clip(task, replace(clip, frames=None, windows=tuple(windows), columns=columns))

    def teardown(self) -> None:
        """Release the captioner, and its connections."""
        close = getattr(self._captioner, "close", None)
        self._captioner = None
        if close is not None:
            close()


def _tokens(model: str, caption: Caption) -> dict[str, dict[str, int | None]]:
    return {"tokens": {model: caption.tokens}, "prompt_tokens": {model: caption.prompt_tokens}}


def _cut_message(caption: Caption) -> str:
    end = replace_surrogates(caption.text[-80:])
    return (
        f"The answer must end by itself, and ended at {caption.tokens or 'the largest number of'} tokens: ...{end!r}. "
        "Raise caption.max_tokens, or ask for less."
    )


def sample_clip(params: CaptionParams, clip: Clip, index: Sequence[int]) -> list[int]:
    """Positions of the stored frames that the windows of a clip need, at least one; for `LoadFramesStage`.

    Args:
        params: the lengths of windows, and the number of frames per window.
        clip: the clip.
        index: frame number in the video of each stored frame, ascending.
    """
    return sample_windows([frame - clip.start_frame for frame in index], _clip_ranges(params, clip), params.max_frames)


def _clip_ranges(params: CaptionParams, clip: Clip) -> list[tuple[int, int]]:
    return window_ranges(clip.num_frames, params.window_frames, params.window_remainder_frames)


def no_windows(num_frames: int) -> Rejected:
    """The outcome of a clip that is too short for a window."""
    return Rejected(Reason.NO_WINDOWS, f"A window must have at least {MIN_FRAMES} frames, got {num_frames}.")
