"""Questions to a vision-language model that are answered by yes or no: one filter a question, asked together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from stages import heartbeat
from stages.errors import ParamsError, StageError
from stages.filter.base import Filter, Limit
from stages.media import FRAME_KEY_COLUMNS, evenly_spaced_indices, with_clip
from stages.models import CaptionInput, check_same_model, construct, put_question, trusted_entries, trusting
from stages.params import CaptionParams, FilterParams
from stages.stage import Fields, NodeInfo, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Frames, Rejected, VideoTask

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


class QuestionFilter(Filter):
    """The probability that the answer to one question is yes, 0 to 1.

    Its name, which is also that of its score, is ``ask_`` and the question's.

    Args:
        key: the question's name in ``filter.ask_questions``.
        params: of the phase.
    """

    needs_frames = True
    columns = FRAME_KEY_COLUMNS

    def __init__(self, key: str, params: FilterParams) -> None:
        self.name = f"ask_{key}"
        self.question = params.ask_questions[key]
        self.num_pictures = params.ask_pictures
        self.model = params.asker_params()
        self._required = {
            f"{side}.{key}": limits[key]
            for side, limits in (("ask_min", params.ask_min), ("ask_max", params.ask_max))
            if key in limits
        }
        self.limits = tuple(
            Limit(self.name, threshold, "min" if threshold.startswith("ask_min") else "max")
            for threshold in self._required
        )

    @cached_property
    def captioner(self) -> Any:
        """The model, not set up.

        Raises:
            ParamsError: it cannot answer such questions.
        """
        made = construct("captioner", self.model.captioner, self.model)
        if not callable(getattr(made, "yes_probabilities", None)):
            raise ParamsError(
                f"filter.ask_captioner must have a method yes_probabilities, and {self.model.captioner!r} has none. "
                "Those of 'transformers', 'vllm' and 'openai' do.",
                "filter.ask_captioner",
            )
        return made

    def identity(self) -> dict[str, Any]:
        """The model with its weights, the question, and the number of pictures."""
        identity = self.captioner.identity().as_dict()
        asked = {"captioner": self.model.captioner, "question": self.question, "pictures": self.num_pictures}
        return {**identity, **asked}

    def thresholds(self) -> dict[str, float]:
        """Those of ``filter.ask_min`` and ``filter.ask_max``."""
        return dict(self._required)

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model."""
        self.captioner.setup(worker_metadata)

    def score(self, clip: Clip) -> float:
        """The answer for one clip; `AskStage` asks all questions of many clips together.

        Raises:
            StageError: there is no answer.
        """
        (answer,) = self.captioner.yes_probabilities([self.request(clip)])
        if isinstance(answer, Failed):
            raise StageError(answer.error, answer.reason)
        return float(answer)

    def request(self, clip: Clip) -> CaptionInput:
        """The clip's pictures with the question.

        Raises:
            StageError: the clip carries no frames.
        """
        frames = some_frames(clip, self.num_pictures)
        times = [float((pts - clip.span.start_pts) * clip.span.time_base) for pts in frames.pts.tolist()]
        shown = tuple(max(0.0, time) for time in times)
        return CaptionInput(frames.images, clip.span.duration_s, {}, shown, put_question(self.question))


def some_frames(clip: Clip, wanted: int) -> Frames:
    """At most so many of the clip's frames, spread evenly.

    Raises:
        StageError: it carries none.
    """
    if clip.frames is None or not len(clip.frames):
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    places = evenly_spaced_indices(len(clip.frames), wanted)
    return Frames(clip.frames.pts[places], clip.frames.images[places])


class AskStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets the scores of questions that a clip was not asked yet, of many clips in one call of the model.

    Args:
        filters: at least one, all for the same model.
        params: the model.
    """

    name = "ask"
    mixes_groups = True

    def __init__(self, filters: Sequence[QuestionFilter], params: CaptionParams) -> None:
        captioner = filters[0].captioner
        self.filters = list(filters)
        self.params: CaptionParams = getattr(captioner, "pinned_params", lambda: params)()
        self.expected = captioner.identity()
        self.resources = params.resources()
        self.batch_size = params.batch_size
        self._trusted = trusted_entries()
        self._captioner: Any = None
        if getattr(captioner, "waits_for_server", False):
            self.batch_size = max(1, self.share_requests(params.requests_in_flight) // len(filters))
        if getattr(captioner, "serves_itself", False) and params.requires_gpu:
            self.max_workers = 0  # each has a server of its own, on its share of a GPU

    def inputs(self) -> Fields:
        """Reads frames."""
        return [], ["clips", "clips.frames"]

    def outputs(self) -> Fields:
        """Adds scores."""
        return [], ["clips.scores"]

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Bring the model to this node, where it is one that can be brought."""
        with trusting(self._trusted):
            fetch = getattr(construct("captioner", self.params.captioner, self.params), "fetch", None)
            if fetch is not None:
                fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model.

        Raises:
            ParamsError: the weights on this machine differ from those of the driver.
        """
        with trusting(self._trusted):
            captioner = construct("captioner", self.params.captioner, self.params)
            check_same_model(self.expected, captioner.identity(), worker_metadata.worker_id)
            captioner.setup(worker_metadata)
        self._captioner = captioner

    def process(self, task: VideoTask) -> Outcome:
        """The task with all scores and without frames, or `Failed` where a question got no answer."""
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """The outcome of each task."""
        if self._captioner is None:
            raise RuntimeError("setup must be called before process_batch.")
        missing = [[each for each in self.filters if each.name not in task.data.clip.scored_by] for task in tasks]
        both = list(zip(tasks, missing, strict=True))
        requests = [each.request(task.data.clip) for task, of_clip in both for each in of_clip]
        heartbeat.count("questions", len(requests))
        answers = iter(self._captioner.yes_probabilities(requests) if requests else [])
        return [_outcome(task, {each.name: next(answers) for each in of_clip}) for task, of_clip in both]

    def teardown(self) -> None:
        """Release the model, and its connections."""
        close = getattr(self._captioner, "close", None)
        self._captioner = None
        if close is not None:
            close()


def _outcome(task: VideoTask, answers: Mapping[str, float | Failed]) -> Outcome:
    clip = task.data.clip
    scores = dict(clip.scores)
    for name, answer in answers.items():
        if isinstance(answer, Failed):
            return answer
        scores[name] = answer
    return with_clip(task, replace(clip, frames=None, scores=scores))
