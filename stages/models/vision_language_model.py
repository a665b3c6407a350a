"""Loads and runs vision-language models of the `transformers` library: whole batches of windows, one answer each."""

import functools
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, LogitsProcessor, LogitsProcessorList, StoppingCriteria

from stages import heartbeat
from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint
from stages.models.dtype import choose_dtype
from stages.models.quiet_transformers import quiet
from stages.models.trust import trust_advice
from stages.models.vision_language_inputs import PreparedWindow, WindowProcessor
from stages.params import Dtype


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said.

    Attributes:
        text: without special tokens.
        tokens: that it wrote, the one that ends the answer included.
        is_cut: the largest number of tokens ended it.
    """

    text: str
    tokens: int
    is_cut: bool


class VisionLanguageModel:
    """A model in evaluation mode on one device, with its processor.

    Attributes:
        dtype: precision that it computes in.
        windows: makes inputs.
        max_tokens: tokens of prompt and answer together, at most; 0 where the checkpoint does not say.

    Raises:
        ParamsError: it cannot be loaded, or lacks weights.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: Dtype) -> None:
        self.windows = WindowProcessor(checkpoint)
        self._device = torch.device(device)
        stored = str(checkpoint.config().get("dtype") or checkpoint.config().get("torch_dtype") or "")
        if stored == "bfloat16" and device != "cpu" and not torch.cuda.is_bf16_supported():
            stored = ""
        self.dtype = choose_dtype(dtype, device, stored=stored)
        try:
            with quiet():
                loaded: Any = AutoModelForImageTextToText.from_pretrained(
                    checkpoint.folder,
                    use_safetensors=not checkpoint.is_pickled,
                    weights_only=True,
                    dtype=getattr(torch, self.dtype),
                    output_loading_info=True,
                    trust_remote_code=checkpoint.may_run_code,
                )
        except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise _unusable(checkpoint, error) from error
        model, report = loaded
        _check_weights(checkpoint, report)
        self._model: Any = model.eval().to(self._device)
        self.max_tokens = int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 0) or 0)
        self._ends, self._pad = _end_and_pad(self._model, self.windows.tokenizer)

    def generate(
        self, windows: Sequence[PreparedWindow], max_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[Answer]:
        """One answer a window, all of one layout, in one call of the model.

        Args:
            windows: at least one.
            max_tokens: of an answer, at most.
            temperature: 0 takes the most probable token each time.
            seeds: of each window; what is drawn for it depends on its own alone.
        """
        inputs = self._inputs(windows)
        drawn = [_Draw(temperature, seeds)] if temperature else []
        options = {"max_new_tokens": max_tokens, "logits_processor": LogitsProcessorList(drawn)}
        rows = self._generate(inputs, options)[:, inputs["input_ids"].shape[1] :]
        return [self._answer(row) for row in rows.cpu()]

    def first_tokens(self, windows: Sequence[PreparedWindow], number: int) -> list[list[tuple[str, float]]]:
        """The tokens that most probably begin each answer, with their probabilities, the most probable first."""
        inputs = self._inputs(windows)
        options = {"max_new_tokens": 1, "return_dict_in_generate": True, "output_logits": True}
        logits = self._generate(inputs, options).logits[0]
        values, tokens = logits.float().softmax(-1).cpu().topk(min(number, logits.shape[-1]))
        decode = self.windows.tokenizer.decode
        return [
            [(decode([token]), value) for token, value in zip(*each, strict=True)]
            for each in zip(tokens.tolist(), values.tolist(), strict=True)
        ]

    def _generate(self, inputs: dict[str, torch.Tensor], options: dict[str, Any]) -> Any:
        with torch.inference_mode():
            return self._model.generate(
                **inputs,
                **options,
                # What the checkpoint's generation_config says of sampling is for chats; the rest of it counts.
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self._pad,
                stopping_criteria=[_Beat()],
            )

    def _inputs(self, windows: Sequence[PreparedWindow]) -> dict[str, torch.Tensor]:
        length = max(window.num_tokens for window in windows)
        fill = {"input_ids": self._pad}
        text = {
            name: torch.cat([_padded(window.text[name], length, fill.get(name, 0)) for window in windows])
            for name in windows[0].text
        }
        pictures = {name: torch.cat([window.pictures[name] for window in windows]) for name in windows[0].pictures}
        return {name: self._placed(tensor) for name, tensor in {**text, **pictures}.items()}

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        is_number = tensor.is_floating_point()
        return tensor.to(self._device, self._model.dtype if is_number else tensor.dtype)

    def _answer(self, row: torch.Tensor) -> Answer:
        tokens = row.tolist()
        end = next((index for index, token in enumerate(tokens) if token in self._ends), None)
        said = tokens if end is None else tokens[:end]
        text = self.windows.tokenizer.decode(said, skip_special_tokens=True)
        return Answer(str(text).strip(), len(tokens) if end is None else end + 1, end is None)


class _Beat(StoppingCriteria):
    """Reports progress at each token, and stops nothing."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        heartbeat.beat()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


class _Draw(LogitsProcessor):
    """Makes the choice of the largest score a draw, by noise of a seed for each row.

    With Gumbel noise on scores divided by the temperature the largest is distributed as a draw from their softmax. The
    library's own sampling draws for all rows from one stream, so that an answer would depend on its company.
    """

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        size = scores.shape[1]
        noise = torch.stack([torch.rand(size, generator=each, dtype=torch.float64) for each in self._generators])
        noise = -torch.log(-torch.log(noise.clamp_(1e-300, 1 - 1e-16)))
        return scores.double() / self._temperature + noise.to(scores.device)


def _padded(tensor: torch.Tensor, length: int, value: int) -> torch.Tensor:
    """With so much before it that it is `length` long."""
    return torch.nn.functional.pad(tensor, (length - tensor.shape[1], 0), value=value)


def _end_and_pad(model: Any, tokenizer: Any) -> tuple[frozenset[int], int]:
    """The tokens that end an answer, and the one that fills up."""
    found = model.generation_config.eos_token_id
    if found is None:
        found = tokenizer.eos_token_id
    ends = frozenset(found if isinstance(found, list) else [found]) - {None}
    for each in (tokenizer.pad_token_id, model.generation_config.pad_token_id, *sorted(ends)):
        if each is not None:
            return ends, int(each)
    return ends, 0


def _check_weights(checkpoint: Checkpoint, report: dict[str, Any]) -> None:
    """Check that the files gave every weight that the architecture has: the library draws the others at random."""
    faults = [*sorted(report.get("missing_keys", ())), *map(str, report.get("mismatched_keys", ()))]
    if faults:
        raise ParamsError(
            f"{checkpoint.param}: weights of {checkpoint.model!r} must be those of its architecture, and {len(faults)} "
            f"are missing or of another shape, as {', '.join(faults[:3])}. Get the checkpoint again.",
            checkpoint.param,
        )


def _unusable(checkpoint: Checkpoint, error: Exception) -> ParamsError:
    advice = f" {trust_advice(checkpoint.model)}" if "trust_remote_code" in str(error) else ""
    return ParamsError(
        f"{checkpoint.param} must be a vision-language model that transformers can load with safetensors, got "
        f"{checkpoint.model!r} ({checkpoint.commit or checkpoint.folder}): {error}{advice}",
        checkpoint.param,
    )


@functools.lru_cache(maxsize=1)
def _model(checkpoint: Checkpoint, device: str, dtype: Dtype) -> VisionLanguageModel:
    return VisionLanguageModel(checkpoint, device, dtype)


def load(checkpoint: Checkpoint, device: str, num_threads: int, dtype: Dtype) -> VisionLanguageModel:
    """The model on this device, one copy per process.

    Raises:
        ParamsError: it cannot be loaded.
    """
    torch.set_num_threads(max(1, num_threads))
    return _model(checkpoint, device, dtype)
