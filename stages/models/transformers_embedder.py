"""Embeddings by image and video encoders of the `transformers` library: CLIP, SigLIP, DINOv2, VideoMAE and so on.

Light to import; torch and transformers are loaded by `stages.models.transformers_network` in the worker.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint, resolve
from stages.models.embedder import BatchedEmbedder, ModelIdentity
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
from stages.tasks import Frames

_NETWORK, _PROCESSOR = "stages.models.transformers_network:load", "stages.models.picture_processor:load_processor"
_WANTED_BY = "embedder 'transformers'"
_FRAMES_OF_VIDEO_ENCODERS = {
    "videomae": ("num_frames",),
    "vjepa2": ("frames_per_clip",),
    "xclip": ("vision_config", "num_frames"),
}
"""By ``model_type``, where ``config.json`` says how many frames a window has."""
_DEFAULT_FRAMES = {"videomae": 16, "vjepa2": 64, "xclip": 8}
"""The library's own, where ``config.json`` leaves them out."""


class TransformersEmbedder(BatchedEmbedder):
    """Of an image encoder the mean over a clip's frames of its pooled output; of a video encoder one window.

    ``embed.model`` is a folder with a checkpoint, or a name on the hub, pinned by ``embed.revision``. Only
    safetensors are read, and code in a checkpoint is run only where the deployment trusts it.
    """

    def __init__(self, params: EmbedParams) -> None:
        if not params.model:
            raise ParamsError(
                "embed.model must name a checkpoint where embed.embedder is 'transformers', got ''. "
                "Give a folder, or a name on the hub such as 'openai/clip-vit-base-patch32'.",
                "embed.model",
            )
        super().__init__(params)
        self._encoder: Any = None

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, with its commit."""
        return resolve(self.params.model, self.params.revision)

    @cached_property
    def window_frames(self) -> int:
        """Frames of a window of a video encoder; 0 of an image encoder.

        Raises:
            ParamsError: ``config.json`` is neither here nor reachable.
        """
        config = self.checkpoint.config()
        kind = str(config.get("model_type", ""))
        if kind not in _FRAMES_OF_VIDEO_ENCODERS:
            return 0
        value: Any = config
        for name in _FRAMES_OF_VIDEO_ENCODERS[kind]:
            value = (value or {}).get(name)
        return int(value or _DEFAULT_FRAMES[kind])

    @property
    def frames_per_clip(self) -> int:
        """A video encoder takes as many as it was trained with, whatever the parameter."""
        return self.window_frames or self.params.frames_per_clip

    @property
    def units_per_clip(self) -> int:
        """One window, or its pictures."""
        return 1 if self.window_frames else self.frames_per_clip

    @property
    def pictures_per_unit(self) -> int:
        """Frames of a window, or one picture."""
        return self.window_frames or 1

    def identity(self) -> ModelIdentity:
        """For a folder, its name and the hash of its files; for the hub, the name, and the commit as the hash.

        Raises:
            ParamsError: the folder holds no safetensors, or nobody knows the revision's commit.
        """
        return ModelIdentity(f"{self.checkpoint.name}/mean", self.checkpoint.weights_hash())

    def pinned_params(self) -> EmbedParams:
        """With the commit in place of a branch, which may move before the last worker starts."""
        commit = self.checkpoint.commit
        return self.params.model_copy(update={"revision": commit}) if commit else self.params

    def fetch(self) -> None:
        """Bring the checkpoint to this node."""
        self.checkpoint.fetch()

    @cached_property
    def _processor(self) -> Any:
        load = lazy.load(_PROCESSOR, wanted_by=_WANTED_BY)
        return load(self.checkpoint.folder, is_video=bool(self.window_frames))

    def setup_loader(self, worker_metadata: WorkerMetadata) -> None:
        """Load the processor, so that what is wrong with it is told before any clip."""
        self._processor  # noqa: B018 - a cached property

    def prepare(self, frames: Frames) -> NDArray[np.uint8]:
        """Pictures of the encoder's input size, uint8 ``[N, h, w, 3]``; of a video encoder ``[1, T, h, w, 3]``.

        A clip of fewer frames than a window gives each several times, evenly.
        """
        if not self.window_frames:
            return self._processor.prepare(frames.images)
        parts = 2 * self.window_frames
        indexes = [(2 * part + 1) * len(frames) // parts for part in range(self.window_frames)]
        return self._processor.prepare(frames.images)[indexes][np.newaxis]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the encoder on the worker's device; from the hub, the commit that `identity` returns."""
        load = lazy.load(_NETWORK, wanted_by=_WANTED_BY)
        self.checkpoint.fetch()
        device, threads = worker_metadata.device, worker_metadata.num_threads
        is_video = bool(self.window_frames)
        self._encoder = load(self.checkpoint, device, threads, self.params.dtype, is_video=is_video)
        self.dtype = self._encoder.dtype

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per unit, float32 ``[B, D]``."""
        if self._encoder is None:
            raise RuntimeError("setup must be called before encode.")
        return self._encoder.encode(units)
