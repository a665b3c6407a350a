"""Loads and runs networks of texts of the `transformers` library."""

import functools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer

from stages import heartbeat
from stages.errors import ParamsError
from stages.models.quiet_transformers import quiet
from stages.models.torch_device import use_whole_float32

BATCH_SIZE = 32
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_UNUSED = "pooler."
"""Begins the names of weights that no vector here depends on."""
_LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError, EOFError)
_LOAD_ERRORS += (pickle.UnpicklingError,)
_PADDED_FAMILY = "siglip"
"""Models of this family were trained on texts padded to their full length, and tell other vectors without."""
_USED = ("input_ids", "attention_mask")


class _Texts:
    """A network with its tokenizer, in evaluation mode on one device."""

    def __init__(self, folder: str, device: str, *, is_pickled: bool = False) -> None:
        use_whole_float32()
        if not any((Path(folder) / name).is_file() for name in _TOKENIZER_FILES):
            # transformers would make one without words.
            raise _unusable(folder, f"no tokenizer, which is one of {', '.join(_TOKENIZER_FILES)}")
        pinned: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        try:
            with quiet():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **pinned)
                model, info = AutoModel.from_pretrained(
                    folder, use_safetensors=not is_pickled, weights_only=True, output_loading_info=True, **pinned
                )
        except _LOAD_ERRORS as error:
            raise _unusable(folder, str(error).partition("\n")[0]) from error
        if missing := sorted(name for name in info["missing_keys"] if not name.startswith(_UNUSED)):
            # transformers would draw them at random.
            raise _unusable(folder, f"weights without {', '.join(missing[:3])}")
        self.model = model.eval().to(device)
        self.device = device

    def tokens(self, texts: list[str], **options: Any) -> dict[str, torch.Tensor]:
        found = self.tokenizer(texts, truncation=True, return_tensors="pt", **options)
        return {name: found[name].to(self.device) for name in _USED if name in found}


class TextTower:
    """The text half of a model of pictures and texts."""

    def __init__(self, folder: str, device: str, *, is_pickled: bool) -> None:
        self._texts = _Texts(folder, device, is_pickled=is_pickled)
        config: Any = self._texts.model.config
        self._max_tokens = int(config.get_text_config().max_position_embeddings)
        self._padding = "max_length" if str(config.model_type).startswith(_PADDED_FAMILY) else "longest"

    def features(self, texts: list[str]) -> NDArray[np.float32]:
        """The model's own text embedding, float32 ``[N, D]``, not scaled."""
        tokens = self._texts.tokens(texts, padding=self._padding, max_length=self._max_tokens)
        with torch.inference_mode():
            output = self._texts.model.get_text_features(**tokens)
        found = output if isinstance(output, torch.Tensor) else output.pooler_output
        return found.float().cpu().numpy()


class SentenceNetwork:
    """A BERT in the layout of sentence-transformers, pooled by the mean over tokens."""

    def __init__(self, folder: str, device: str) -> None:
        self._texts = _Texts(folder, device)
        settings = json.loads((Path(folder) / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self._max_tokens = int(settings["max_seq_length"])

    def features(self, texts: list[str]) -> NDArray[np.float32]:
        """The mean over the tokens of each text, float32 ``[N, D]``, not scaled."""
        # Texts of like length together, since each is padded to the longest of its batch.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        found = np.empty((len(texts), int(self._texts.model.config.hidden_size)), np.float32)
        for start in range(0, len(order), BATCH_SIZE):
            some = order[start : start + BATCH_SIZE]
            found[some] = self._pooled([texts[place] for place in some])
            heartbeat.beat()
        return found

    def _pooled(self, texts: list[str]) -> NDArray[np.float32]:
        tokens = self._texts.tokens(texts, padding="longest", max_length=self._max_tokens)
        with torch.inference_mode():
            hidden = self._texts.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)).float().cpu().numpy()


def _unusable(folder: str, found: str) -> ParamsError:
    return ParamsError(
        f"{folder} must hold a tokenizer and a model that transformers can load with safetensors, got {found}. "
        "Save both there; or search captions, which takes none of it: --by captions."
    )


@functools.lru_cache(maxsize=2)
def _tower(folder: str, device: str, *, is_pickled: bool) -> TextTower:
    return TextTower(folder, device, is_pickled=is_pickled)


@functools.lru_cache(maxsize=2)
def _sentence_network(folder: str, device: str) -> SentenceNetwork:
    return SentenceNetwork(folder, device)


def load_tower(folder: str, device: str, num_threads: int, *, is_pickled: bool = False) -> TextTower:
    """The text tower on this device, one copy per process.

    Args:
        folder: of the checkpoint.
        device: where it runs.
        num_threads: of torch.
        is_pickled: the deployment trusts its pickled weights, which are read in place of safetensors.

    Raises:
        ParamsError: it cannot be loaded.
    """
    torch.set_num_threads(max(1, num_threads))
    return _tower(folder, device, is_pickled=is_pickled)


def load_sentence_network(folder: str, device: str, num_threads: int) -> SentenceNetwork:
    """The network of sentences on this device, one copy per process.

    Raises:
        ParamsError: it cannot be loaded.
    """
    torch.set_num_threads(max(1, num_threads))
    return _sentence_network(folder, device)
