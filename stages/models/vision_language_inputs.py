"""What a vision-language model of the `transformers` library is given for a window: by its checkpoint's own processor.

Frames go in as one video where the model takes videos, with the times that they were taken at; else as pictures, each
with its time before it. Runs without torchvision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import PROCESSOR_MAPPING, AutoConfig, AutoImageProcessor, AutoTokenizer
from transformers.models.auto.processing_auto import processor_class_from_name

from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint, read_json
from stages.models.pillow_video_processor import load_video_processor

_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
_LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError)
_TICKS_PER_S = 1000
"""Rate of the video that a window is told to be; its frames are named by their number at this rate."""


@dataclass(frozen=True)
class PreparedWindow:
    """The inputs of one window, as tensors of a batch of one.

    Attributes:
        text: int64 ``[1, L]`` by name: tokens, with what is told of each.
        pictures: all others by name; windows are concatenated along the first axis.
    """

    text: Mapping[str, torch.Tensor]
    pictures: Mapping[str, torch.Tensor]

    @property
    def num_tokens(self) -> int:
        """Tokens of the prompt, those of the pictures included."""
        return int(self.text["input_ids"].shape[1])

    @property
    def layout(self) -> tuple[tuple[Any, ...], ...]:
        """Windows of one layout fit into one batch."""
        return tuple((name, *tensor.shape[1:]) for name, tensor in sorted(self.pictures.items()))


class WindowProcessor:
    """Makes inputs of windows.

    Attributes:
        tokenizer: of the checkpoint.

    Raises:
        ParamsError: the checkpoint has no processor or no chat template that can be used here.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        try:
            self._processor = _load(checkpoint)
            self.tokenizer: Any = self._processor.tokenizer
            self.tokenizer.padding_side = "left"
            self._sees_videos = self._takes_videos()
        except _LOAD_ERRORS as error:
            if isinstance(error, ParamsError):
                raise
            raise _unusable(checkpoint, error) from error

    def prepare(
        self, images: NDArray[np.uint8], times_s: Sequence[float], duration_s: float, prompt: str
    ) -> PreparedWindow:
        """The inputs of one window.

        Args:
            images: uint8 ``[N, H, W, 3]``, RGB; none for a question about a text.
            times_s: when each was taken, seconds since the window's start, ascending.
            duration_s: of the window.
            prompt: what is asked. What looks like a control token in it is read as text.
        """
        if not len(images):
            content, options = [{"type": "text", "text": prompt}], {}
        elif self._sees_videos:
            content, options = self._video(images, times_s, duration_s, prompt)
        else:
            content, options = _pictures(images, times_s, prompt), {}
        made = self._processor.apply_chat_template(
            [[{"role": "user", "content": content}]],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
            return_tensors="pt",
            sanitize_control_tokens=True,
            processor_kwargs=options,
        )
        tensors = {name: torch.as_tensor(value) for name, value in made.items()}
        shape = tensors["input_ids"].shape
        text = {name: tensor for name, tensor in tensors.items() if tensor.shape == shape}
        return PreparedWindow(text, {name: tensor for name, tensor in tensors.items() if name not in text})

    def _video(
        self, images: NDArray[np.uint8], times_s: Sequence[float], duration_s: float, prompt: str
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        # A model that takes frames two by two needs two; the others are padded by the library itself.
        missing = max(0, self._frames_at_least - len(images))
        images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        indices = [round(time * _TICKS_PER_S) for time in (*times_s, *[times_s[-1]] * missing)]
        metadata = {
            "total_num_frames": max(round(duration_s * _TICKS_PER_S), indices[-1] + 1),
            "fps": float(_TICKS_PER_S),
            "duration": duration_s,
            "frames_indices": indices,
            "height": images.shape[1],
            "width": images.shape[2],
        }
        text = prompt if self._tells_times else f"{_times_in_words(times_s, duration_s)}\n{prompt}"
        content = [{"type": "video", "video": images}, {"type": "text", "text": text}]
        return content, {
            "video_metadata": [metadata],
            "do_sample_frames": False,
            "input_data_format": "channels_last",
        }

    @cached_property
    def _tells_times(self) -> bool:
        """Whether the processor itself puts times to frames: then it asks for the video's metadata."""
        return bool(getattr(self._processor, "videos_kwargs", {}).get("return_metadata"))

    @cached_property
    def _frames_at_least(self) -> int:
        return int(getattr(self._processor.video_processor, "temporal_patch_size", 1) or 1)

    def _takes_videos(self) -> bool:
        """Whether there is a video processor, and the chat template has a place for a video."""
        token = getattr(self._processor, "video_token", None)
        if getattr(self._processor, "video_processor", None) is None or not token:
            return False
        content = [{"type": "video"}, {"type": "text", "text": "?"}]
        return token in self._processor.apply_chat_template([{"role": "user", "content": content}])


def _pictures(images: NDArray[np.uint8], times_s: Sequence[float], prompt: str) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for image, time in zip(images, times_s, strict=True):
        content += [{"type": "text", "text": f"{time:.1f} s:"}, {"type": "image", "image": Image.fromarray(image)}]
    return [*content, {"type": "text", "text": prompt}]


def _times_in_words(times_s: Sequence[float], duration_s: float) -> str:
    """As LLaVA-Video was trained with; models whose processor knows no times read it as any text."""
    listed = ",".join(f"{time:.2f}s" for time in times_s)
    return (
        f"The video lasts for {duration_s:.2f} seconds, and {len(times_s)} frames are uniformly sampled from it. "
        f"These frames are located at {listed}."
    )


def _load(checkpoint: Checkpoint) -> Any:
    """The processor of the checkpoint's own class, with Pillow for pictures."""
    folder, param = checkpoint.folder, checkpoint.param
    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=checkpoint.may_run_code)
    found = _processor_class(folder, config, param)
    if found is None:
        raise ValueError(f"transformers has no processor for {config.model_type!r}")
    parts: dict[str, Any] = {
        "tokenizer": lambda: AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
        # Always the Pillow backend: with torchvision installed, its resampling would give other pixels.
        "image_processor": lambda: AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False),
        "video_processor": lambda: load_video_processor(folder, str(config.model_type), param),
    }
    wanted = found.get_attributes()
    if unknown := sorted(set(wanted) - set(parts)):
        raise ValueError(f"its processor needs {', '.join(unknown)} too")
    settings, _ = found.get_processor_dict(folder)
    # Its check of what it is given looks for the library's classes, which are not to be had without torchvision.
    unchecked = {"check_argument_for_proper_class": lambda self, name, argument: type(argument)}
    made: Any = type(found.__name__, (found,), unchecked)
    return made.from_args_and_dict([parts[name]() for name in wanted], settings)


def _processor_class(folder: Path, config: Any, param: str) -> Any:
    """The class that the checkpoint names, else that of its architecture."""
    for name in _PROCESSOR_FILES:
        named = read_json(folder / name, param).get("processor_class") if (folder / name).is_file() else None
        if named and (found := processor_class_from_name(str(named))) is not None:
            return found
    return PROCESSOR_MAPPING.get(type(config), None)


def _unusable(checkpoint: Checkpoint, error: Exception) -> ParamsError:
    return ParamsError(
        f"{checkpoint.param} must be a vision-language model with a processor and a chat template that transformers "
        f"can load, got {checkpoint.model!r} ({checkpoint.commit or checkpoint.folder}): {error}. Serve a model whose "
        "processor is code of its own: caption.captioner=vllm.",
        checkpoint.param,
    )
