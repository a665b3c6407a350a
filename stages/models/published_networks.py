"""Loads and runs networks whose code lies beside their weights, by the interface that they publish.

The class is built and filled from safetensors here, without `AutoModel`: that code is older than the library, whose
loading it does not fit any more.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel, modeling_utils, pytorch_utils
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from stages.errors import ParamsError
from stages.models.checkpoints import CONFIG, Checkpoint, read_json, weights_of
from stages.models.dtype import choose_dtype
from stages.models.picture_processor import IMAGENET_MEAN, IMAGENET_STD
from stages.models.torch_device import use_whole_float32
from stages.models.trust import trust_advice
from stages.resources import Dtype

_LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)
"""What code of others may raise while it is loaded."""


class _Network:
    """A network in evaluation mode on one device.

    Attributes:
        dtype: precision that it computes in.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: Dtype) -> None:
        use_whole_float32()
        stored = str(checkpoint.config().get("torch_dtype") or checkpoint.config().get("dtype") or "")
        self.dtype = choose_dtype(dtype, device, stored=stored.removeprefix("torch."))
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.torch_dtype = getattr(torch, self.dtype)
        with _told(checkpoint), contextlib.chdir(checkpoint.folder):  # InternVideo2 opens files by relative path
            self.model: Any = _filled(checkpoint).eval().to(self.device, self.torch_dtype)


class CosmosEmbed1Network(_Network):
    """``get_video_embeddings(...).visual_proj`` and ``get_text_embeddings(...).text_proj``."""

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per window, float32 ``[B, D]``, of the bytes of floats ``[B, T, 3, h, w]``."""
        with torch.inference_mode():
            videos = torch.from_numpy(units.view(np.float32)).to(self.device, self.torch_dtype)
            return self.model.get_video_embeddings(videos=videos).visual_proj.float().cpu().numpy()

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Float32 ``[N, D]``."""
        with torch.inference_mode():
            tokens = load_processor(self.checkpoint)(text=texts, return_tensors="pt")
            found = self.model.get_text_embeddings(**{name: each.to(self.device) for name, each in tokens.items()})
            return found.text_proj.float().cpu().numpy()


class InternVideo2Network(_Network):
    """``get_vid_feat(frames)`` and ``get_txt_feat(text)``."""

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: Dtype) -> None:
        super().__init__(checkpoint, device, dtype)
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        configs: list[Any] = [getattr(self.model, name, None) for name in ("_config", "config")]
        for config in configs:
            if hasattr(config, "device"):  # where its method puts the tokens of a text
                config.device = str(self.device)

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per window, float32 ``[B, D]``, of pictures ``[B, T, h, w, 3]``."""
        with torch.inference_mode():
            frames = torch.from_numpy(units).to(self.device).movedim(-1, -3).float()
            frames = frames.div_(255).sub_(self._mean).div_(self._std).to(self.torch_dtype)
            return self.model.get_vid_feat(frames).float().reshape(len(units), -1).cpu().numpy()

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Float32 ``[N, D]``; its method takes one text at a time."""
        with torch.inference_mode():
            return np.stack([self.model.get_txt_feat(text).float().flatten().cpu().numpy() for text in texts])


def _filled(checkpoint: Checkpoint) -> torch.nn.Module:
    """The network with the weights of the checkpoint.

    Raises:
        ParamsError: weights are missing; the class would leave them at random.
    """
    _add_older_names()
    auto_map = checkpoint.config().get("auto_map") or {}
    kind = _class_of(checkpoint, auto_map, "AutoModel")
    config_class = _class_of(checkpoint, auto_map, "AutoConfig") if "AutoConfig" in auto_map else kind.config_class
    model: torch.nn.Module = kind(config_class.from_pretrained(checkpoint.folder))
    state: dict[str, torch.Tensor] = {}
    for path in weights_of(checkpoint.folder):
        state.update(load_file(path))
    model.load_state_dict(state, strict=False)
    own = model.state_dict(keep_vars=True)
    # A tensor that two names share is stored under one of them.
    filled = {own[name].data_ptr() for name in own if name in state}
    missing = [
        name for name, each in own.items() if each.data_ptr() not in filled and not name.endswith("position_ids")
    ]
    if missing:
        raise ParamsError(
            f"embed.model: weights of {checkpoint.model!r} must be those of its architecture, and {len(missing)} are "
            f"missing, as {', '.join(missing[:3])}. Get the checkpoint again, or one whose config.json is its own.",
            "embed.model",
        )
    return model


def _class_of(checkpoint: Checkpoint, auto_map: Mapping[str, Any], name: str) -> Any:
    """The class of the checkpoint's own code under a name of ``auto_map``.

    Raises:
        ParamsError: it names none, or one of another repository, which nobody has trusted.
    """
    if not checkpoint.may_run_code:
        raise ParamsError(f"embed.model: {trust_advice(checkpoint.model)}", "embed.model")
    reference = auto_map.get(name)
    if not isinstance(reference, str) or "--" in reference:
        raise ParamsError(
            f"embed.model must be a checkpoint whose auto_map names a class of its own code as {name}, got "
            f"{reference!r} in {checkpoint.folder}.",
            "embed.model",
        )
    return get_class_from_dynamic_module(reference, str(checkpoint.folder), local_files_only=True)


@functools.lru_cache(maxsize=1)
def load_processor(checkpoint: Checkpoint) -> Any:
    """The checkpoint's own processor.

    Raises:
        ParamsError: the deployment does not trust it, or it cannot be loaded.
    """
    files = [checkpoint.folder / name for name in ("processor_config.json", CONFIG)]
    maps = [read_json(path, "embed.model").get("auto_map") or {} for path in files if path.is_file()]
    auto_map = next((each for each in maps if "AutoProcessor" in each), {})
    _add_older_names()
    with _told(checkpoint):
        return _class_of(checkpoint, auto_map, "AutoProcessor").from_pretrained(
            checkpoint.folder, local_files_only=True
        )


@contextlib.contextmanager
def _told(checkpoint: Checkpoint) -> Iterator[None]:
    """Errors of code of others become one that names the checkpoint."""
    try:
        yield
    except ParamsError:
        raise
    except _LOAD_ERRORS as error:
        raise ParamsError(
            f"embed.model: the code of {checkpoint.model!r} ({checkpoint.commit or checkpoint.folder}) could not be "
            f"loaded: {type(error).__name__}: {error}. Install what it asks for beside this package, or take a "
            "revision whose code fits the installed transformers.",
            "embed.model",
        ) from error


def _add_older_names() -> None:
    """Give the library names of transformers 4 that such code imports, where the installed version has them no more.

    Two have only moved; pruning of heads is imported and never called; a mask of heads is never given. They stay: code
    that is imported inside calls them later.
    """
    for name in ("apply_chunking_to_forward", "prune_linear_layer"):
        _add(modeling_utils, name, getattr(pytorch_utils, name, None))
    for module in (modeling_utils, pytorch_utils):
        _add(module, "find_pruneable_heads_and_indices", _no_pruning)
    _add(PreTrainedModel, "get_head_mask", _no_head_mask)


def _add(place: Any, name: str, value: Any) -> None:
    if not hasattr(place, name) and value is not None:
        setattr(place, name, value)


def _no_pruning(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("Heads are not pruned here.")


def _no_head_mask(_: Any, head_mask: Any, num_hidden_layers: int, is_attention_chunked: bool = False) -> Sequence[None]:
    if head_mask is not None:
        raise NotImplementedError("A mask of heads is not supported here.")
    return [None] * num_hidden_layers


_CLASSES = {each.__name__: each for each in (CosmosEmbed1Network, InternVideo2Network)}
_last: dict[tuple[Any, ...], _Network] = {}
"""The last network of this process."""


def load(name: str, checkpoint: Checkpoint, device: str, num_threads: int, dtype: Dtype) -> _Network:
    """The network of a class here, on this device, one per process: it stays until another is asked for.

    Raises:
        ParamsError: it cannot be loaded.
    """
    torch.set_num_threads(max(1, num_threads))
    key = (name, checkpoint, device, dtype)
    if key not in _last:
        _last.clear()
        _last[key] = _CLASSES[name](checkpoint, device, dtype)
    return _last[key]
