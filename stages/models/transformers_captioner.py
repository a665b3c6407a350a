"""A captioner in process: vision-language models of the `transformers` library, by name or folder.

Light to import; torch and transformers are loaded by `stages.models.vision_language_model` in the worker.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat, lazy
from stages.errors import ParamsError, Reason, is_out_of_memory
from stages.models import yes_no
from stages.models.captioner import Caption, CaptionInput
from stages.models.checkpoints import TEXTS, Checkpoint, resolve
from stages.models.embedder import ModelIdentity
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed

_MODEL = "stages.models.vision_language_model:load"
_WANTED_BY = "captioner 'transformers'"


@dataclass(frozen=True, slots=True)
class _Window:
    """A window on its way: where its answer belongs, its inputs, the seed of what is drawn for it, and its length."""

    index: int
    prepared: Any
    seed: int
    max_tokens: int


class TransformersCaptioner:
    """Answers the prompt for whole batches of windows, of whichever clips and videos.

    Each window is prepared alone, and those whose inputs fit together are answered in one call, at most
    ``caption.batch_size``; where memory runs out the number is halved, and the call made again. An answer is the same
    in any company. With ``caption.temperature`` above 0 it is drawn, by the window's own pictures and prompt.
    """

    columns: tuple[str, ...] = ()
    reads_prompt = True

    def __init__(self, params: CaptionParams) -> None:
        if not params.model:
            raise ParamsError(
                "caption.model must name a checkpoint where caption.captioner is 'transformers', got ''. Give a "
                "folder, or a name on the hub such as 'Qwen/Qwen2.5-VL-3B-Instruct'.",
                "caption.model",
            )
        self._params = params
        self._model: Any = None
        self._largest = params.batch_size
        self.dtype: str | None = None

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, with its commit."""
        return resolve(self._params.model, self._params.revision, "caption.model")

    def identity(self) -> ModelIdentity:
        """For a folder, its name and the hash of its files; for the hub, the name, and the commit as the hash.

        Raises:
            ParamsError: the folder holds no safetensors, or nobody knows the revision's commit.
        """
        return ModelIdentity(self.checkpoint.name, self.checkpoint.weights_hash(TEXTS))

    def pinned_params(self) -> CaptionParams:
        """With the commit in place of a branch, which may move before the last worker starts."""
        commit = self.checkpoint.commit
        return self._params.model_copy(update={"revision": commit}) if commit else self._params

    def fetch(self) -> None:
        """Bring the checkpoint to this node."""
        self.checkpoint.fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model on the worker's device; from the hub, the commit that `identity` returns."""
        load = lazy.load(_MODEL, wanted_by=_WANTED_BY)
        self.checkpoint.fetch()
        self._model = load(self.checkpoint, worker_metadata.device, worker_metadata.num_threads, self._params.dtype)
        self.dtype = self._model.dtype

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """One caption per window, in their order.

        Raises:
            Exception: of the model; out of memory only with a single window.
        """
        prepared, results = self._split(windows)
        results |= self._by_batches(prepared, self._captions)
        cut = [each for each in prepared if getattr(results[each.index], "is_cut", False)]
        if cut:
            heartbeat.count("cut_captions", len(cut))
            longer = [replace(each, max_tokens=2 * each.max_tokens) for each in cut]
            results |= self._by_batches(longer, self._captions)
        return [results[index] for index in range(len(windows))]

    def yes_probabilities(self, windows: Sequence[CaptionInput]) -> list[float | Failed]:
        """The probability of yes, 0 to 1, to the question in each window's prompt, by the first token's scores.

        Raises:
            Exception: as `caption`.
        """
        prepared, results = self._split([replace(window, max_tokens=1) for window in windows])
        results |= self._by_batches(prepared, self._yes_or_no)
        return [results[index] for index in range(len(windows))]

    def _yes_or_no(self, batch: Sequence[_Window]) -> list[float | Failed]:
        found: list[float | Failed] = []
        for tokens in self._model.first_tokens([window.prepared for window in batch], yes_no.TOP_TOKENS):
            probability = yes_no.probability_of_yes(tokens)
            said = yes_no.no_answer(tokens[0][0])
            found.append(Failed(Reason.STAGE_ERROR, said) if probability is None else probability)
        return found

    def _split(self, windows: Sequence[CaptionInput]) -> tuple[list[_Window], dict[int, Any]]:
        """The windows with their inputs, and the failures of those that do not fit."""
        if self._model is None:
            raise RuntimeError("setup must be called before caption.")
        made = [self._prepared(index, window) for index, window in enumerate(windows)]
        failed = {index: each for index, each in enumerate(made) if isinstance(each, Failed)}
        return [each for each in made if isinstance(each, _Window)], failed

    def _prepared(self, index: int, window: CaptionInput) -> _Window | Failed:
        heartbeat.beat()
        times = window.times_s or evenly_spaced_times(len(window.images), window.duration_s)
        prompt = window.prompt or self._params.prompt
        prepared = self._model.windows.prepare(window.images, times, window.duration_s, prompt)
        most, asked = self._model.max_tokens, window.max_tokens or self._params.max_tokens
        if 0 < most < prepared.num_tokens + asked:
            return Failed(
                Reason.STAGE_ERROR,
                f"A window must fit into the model's {most} tokens, got {prepared.num_tokens} of pictures and prompt, "
                f"and {asked} for the answer. Show fewer pictures (caption.max_frames), or lower caption.max_tokens.",
            )
        return _Window(index, prepared, _seed(window.images, prompt) if self._params.temperature else 0, asked)

    def _by_batches(
        self, windows: Sequence[_Window], call: Callable[[Sequence[_Window]], Sequence[Any]]
    ) -> dict[int, Any]:
        """What calls with whole batches make of the windows, by their index."""
        by_layout: defaultdict[Any, list[_Window]] = defaultdict(list)
        for window in windows:
            by_layout[window.prepared.layout, window.max_tokens].append(window)
        found: dict[int, Any] = {}
        for alike in by_layout.values():
            # Windows of like length together, since each is padded to the longest of its call.
            waiting = sorted(alike, key=lambda window: window.prepared.num_tokens)
            while waiting:
                batch = waiting[: self._largest]
                results = self._unless_out_of_memory(batch, call)
                if results is None:
                    lazy.load("stages.models.torch_device:release")()
                    continue
                found |= {window.index: result for window, result in zip(batch, results, strict=True)}
                waiting = waiting[len(batch) :]
        return found

    def _unless_out_of_memory(
        self, batch: Sequence[_Window], call: Callable[[Sequence[_Window]], Sequence[Any]]
    ) -> Sequence[Any] | None:
        """The results; None where memory ran out and the largest batch was halved.

        The error, whose traceback holds tensors, is gone when this returns.
        """
        try:
            return call(batch)
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            self._largest = len(batch) // 2
            heartbeat.count("halved_batches")
            return None

    def _captions(self, batch: Sequence[_Window]) -> list[Caption]:
        answers = self._model.generate(
            [window.prepared for window in batch],
            batch[0].max_tokens,
            self._params.temperature,
            [window.seed for window in batch],
        )
        captions = [
            Caption(answer.text, answer.tokens, prompt_tokens=window.prepared.num_tokens, is_cut=answer.is_cut)
            for window, answer in zip(batch, answers, strict=True)
        ]
        heartbeat.count("caption_tokens", sum(caption.tokens or 0 for caption in captions))
        heartbeat.count("caption_prompt_tokens", sum(caption.prompt_tokens or 0 for caption in captions))
        return captions


def _seed(images: NDArray[np.uint8], prompt: str) -> int:
    """Of what is drawn for a window: its own pictures and prompt, whichever run and batch it is in."""
    return int.from_bytes(hashlib.sha256(prompt.encode() + images.tobytes()).digest()[:7], "big")


def evenly_spaced_times(num_frames: int, duration_s: float) -> tuple[float, ...]:
    """The middles of as many equal parts of a window, seconds."""
    return tuple((number + 0.5) * duration_s / num_frames for number in range(num_frames))
