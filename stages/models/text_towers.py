"""The text tower of the embedder that made stored vectors, so that a text is compared with pictures themselves.

CLIP, SigLIP and similar checkpoints of the `transformers` library have one; so has an embedder of a user's own with a
method ``embed_texts``. Light to import: `stages.models.text_networks` loads torch and transformers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint, hub_cache_folder
from stages.models.embedder import ModelIdentity
from stages.params import EmbedParams
from stages.stage import WorkerMetadata


class TextEncoder(Protocol):
    """Computes a vector of each text."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 ``[N, D]``, unit length."""
        ...


class TransformersTextTower:
    """The text tower of a checkpoint whose pictures were embedded with ``embed.embedder=transformers``.

    Args:
        params: which checkpoint.
        worker: the device and threads.

    Raises:
        ParamsError: it has no tokenizer, or cannot be loaded.
    """

    def __init__(self, params: EmbedParams, worker: WorkerMetadata) -> None:
        folder = checkpoint_folder(params)
        commit = "" if Path(params.model).is_dir() else params.revision
        is_pickled = Checkpoint(params.model, commit, folder, "embed.model").is_pickled
        load = lazy.load("stages.models.text_networks:load_tower", wanted_by="The search by a text")
        self._tower = load(str(folder), worker.device, worker.num_threads, is_pickled=is_pickled)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 ``[N, D]``, unit length, in the space of the checkpoint's picture vectors."""
        return unit_rows(self._tower.features(list(texts)))


class _OwnTextTower:
    """The method ``embed_texts`` of an embedder that is set up."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return unit_rows(np.asarray(self._embedder.embed_texts(list(texts)), np.float32))


def text_tower(embedder: Any, params: EmbedParams, worker: WorkerMetadata) -> TextEncoder | None:
    """The text tower that belongs to an embedder; None where it has none.

    Args:
        embedder: made from the parameters, not set up.
        params: of embed.
        worker: the device and threads.

    Raises:
        ParamsError: there is one, and it cannot be loaded.
    """
    if callable(getattr(embedder, "embed_texts", None)):
        embedder.setup(worker)
        return _OwnTextTower(embedder)
    if params.embedder != "transformers" or not _has_text_tower(checkpoint_folder(params)):
        return None
    return TransformersTextTower(params, worker)


def check_same_weights(expected: ModelIdentity, found: ModelIdentity) -> None:
    """Check that a model on this machine is the one that stored vectors were made with.

    Raises:
        ParamsError: it is another.
    """
    if expected != found:
        raise ParamsError(
            f"The query must be embedded by the model of the stored vectors, {expected}, and this machine has {found}. "
            "Put the same weights where embed.model names them, or run `curator run` again with those that are there."
        )


def checkpoint_folder(params: EmbedParams) -> Path:
    """The folder of ``embed.model``: itself, or the snapshot of ``embed.revision``, a commit, in the hub's cache."""
    folder = Path(params.model)
    return folder if folder.is_dir() else hub_cache_folder(params.model) / "snapshots" / params.revision


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows scaled to unit length, float32 ``[N, D]``.

    Raises:
        ParamsError: a row is all zero or not finite.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ParamsError("The vector of a text must have finite numbers, not all of them 0. Search by other words.")
    return (vectors / lengths).astype(np.float32)


def _has_text_tower(folder: Path) -> bool:
    """True where the checkpoint's configuration describes one beside that of pictures."""
    path = folder / "config.json"
    if not path.is_file():
        raise ParamsError(
            f"The checkpoint of the stored vectors must lie in {folder}, and config.json is missing there. Restore it, "
            "or search captions: --by captions."
        )
    config = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(config, dict) and bool({"text_config", "text_config_dict"} & config.keys())
