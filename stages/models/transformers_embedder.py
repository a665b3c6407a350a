"""Embeddings by any image encoder of the `transformers` library: CLIP, SigLIP, DINOv2 and similar ones.

Light to import; torch and transformers are loaded by `stages.models.transformers_network` in the worker.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError
from stages.models.embedder import ModelIdentity, mean_pool
from stages.models.weights import file_hash
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
from stages.storage import digest
from stages.tasks import Frames

COMMIT_PATTERN = re.compile("[0-9a-f]{40}")


class TransformersEmbedder:
    """Computes the mean over a clip's frames of an image encoder's pooled output.

    ``embed.model`` is a folder with a checkpoint, or a name on the hub, pinned by ``embed.revision``. Only
    safetensors are read, and code in a checkpoint is never run.
    """

    def __init__(self, params: EmbedParams) -> None:
        if not params.model:
            raise ParamsError(
                "embed.model must name a checkpoint where embed.embedder is 'transformers', got ''. "
                "Give a folder, or a name on the hub such as 'openai/clip-vit-base-patch32'.",
                "embed.model",
            )
        self._model = params.model
        self._revision = params.revision
        self._encoder: Any = None

    def identity(self) -> ModelIdentity:
        """For a folder, its name and the hash of its files; for the hub, the name, and the commit as the hash.

        Raises:
            ParamsError: the folder holds no safetensors, or the local cache does not know the revision's commit.
        """
        folder = Path(self._model)
        if folder.is_dir():
            return ModelIdentity(f"{folder.resolve().name}/mean", checkpoint_hash(folder))
        return ModelIdentity(f"{self._model}/mean", cached_commit(self._model, self._revision))

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the encoder on the worker's device; from the hub, the commit that `identity` returns."""
        model, revision = self._model, self._revision
        if not Path(model).is_dir():
            revision = cached_commit(model, revision)
            snapshot = hub_cache_folder(model) / "snapshots" / revision
            is_whole = (snapshot / "preprocessor_config.json").is_file() and any(snapshot.glob("*.safetensors"))
            model = str(snapshot) if is_whole else model
        load = lazy.load("stages.models.transformers_network:load", wanted_by="network 'transformers'")
        self._encoder = load(model, revision, worker_metadata.device, worker_metadata.num_threads)

    def embed(self, clips: Sequence[Frames]) -> NDArray[np.float32]:
        """Float32 ``[N, D]``, unit length; one forward call per clip, so that other clips do not affect its vector."""
        if self._encoder is None:
            raise RuntimeError("setup must be called before embed.")
        return np.stack([mean_pool(self._encoder.features(frames.images)) for frames in clips])


def checkpoint_hash(folder: Path) -> str:
    """Hash of a checkpoint: its weights and its JSON configuration files.

    Raises:
        ParamsError: the folder holds no safetensors.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ParamsError(
            f"embed.model must be a folder with *.safetensors, got {folder}. Pickled weights can run code when they "
            "are loaded and are not read: save the checkpoint with safe_serialization=True.",
            "embed.model",
        )
    files = [*weights, *sorted(folder.glob("*config.json"))]
    return digest(*(f"{path.name} {file_hash(path)}" for path in files), length=16)


def cached_commit(model: str, revision: str) -> str:
    """The commit, 40 hex digits, of a hub checkpoint's branch or tag by the local cache. Makes no network request.

    Raises:
        ParamsError: the cache does not hold the branch or tag.
    """
    if COMMIT_PATTERN.fullmatch(revision):
        return revision
    path = hub_cache_folder(model) / "refs" / revision
    commit = path.read_text().strip() if path.is_file() else ""
    if not COMMIT_PATTERN.fullmatch(commit):
        raise ParamsError(
            f"embed.revision must be a commit of {model!r}, or a name whose commit is in the local cache, got "
            f"{revision!r}, and no commit in {path}. Give 40 hex digits, or a folder as embed.model, or run: "
            f"hf download {model} --revision {revision}",
            "embed.revision",
        )
    return commit


def hub_cache_folder(model: str) -> Path:
    """Cache folder of a hub checkpoint: ``refs/{revision}`` holds a commit, ``snapshots/{commit}`` its files."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or Path(home) / "hub"
    return Path(cache).expanduser() / f"models--{model.replace('/', '--')}"
