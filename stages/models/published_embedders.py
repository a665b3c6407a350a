"""Video embedders whose code is published beside their weights: Cosmos-Embed1 and InternVideo2.

Their repositories are no part of the `transformers` library. What is used is their published interface: the class that
``config.json`` names in ``auto_map``, and of it the methods that make a vector of a window of frames, and of a text. So
the deployment must trust the folder, or the name and commit on the hub, before anything of it runs.

Light to import; torch and transformers are loaded by `stages.models.published_networks` in the worker.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint, read_json, resolve
from stages.models.embedder import BatchedEmbedder, ModelIdentity
from stages.models.trust import trust_advice
from stages.models.weights import file_hash
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
from stages.storage import digest
from stages.tasks import Frames


class PublishedEmbedder(BatchedEmbedder):
    """One window of frames a clip, evenly spread over all of it; one vector of the window.

    Attributes:
        name: of the embedder, for messages.
        example: of ``embed.model``.
        head: what of the model's output the vector is; part of the name in rows.
    """

    name: ClassVar[str]
    example: ClassVar[str]
    head: ClassVar[str]
    _network_class: ClassVar[str]

    def __init__(self, params: EmbedParams) -> None:
        if not params.model:
            raise ParamsError(
                f"embed.model must name a checkpoint where embed.embedder is {self.name!r}, got ''. Give a folder, or "
                f"a name on the hub such as {self.example!r}.",
                "embed.model",
            )
        super().__init__(params)
        self._network: Any = None

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, with its commit."""
        return resolve(self.params.model, self.params.revision)

    @cached_property
    def window_frames(self) -> int:
        """Frames of the window, as the checkpoint says.

        Raises:
            ParamsError: it does not say.
        """
        found = self._stated_frames()
        if not isinstance(found, int) or found < 1:
            raise ParamsError(
                f"embed.model must say how many frames it takes, as {self.example} does, got {found!r} in "
                f"{self.checkpoint.folder}.",
                "embed.model",
            )
        return found

    @abstractmethod
    def _stated_frames(self) -> Any:
        """The number of frames by its configuration files; None where they do not tell."""

    @property
    def frames_per_clip(self) -> int:
        """As many as the model takes, whatever the parameter."""
        return self.window_frames

    @property
    def units_per_clip(self) -> int:
        """One window."""
        return 1

    @property
    def pictures_per_unit(self) -> int:
        """Frames of a window."""
        return self.window_frames

    def identity(self) -> ModelIdentity:
        """The checkpoint's name with the head; a commit, or a hash of the weights, configuration and code of a folder.

        Raises:
            ParamsError: the deployment does not trust it, the folder holds no safetensors, or nobody knows the commit.
        """
        self._check_trust()
        found = self.checkpoint.weights_hash()
        if not self.checkpoint.commit:
            code = (f"{path.name} {file_hash(path)}" for path in sorted(self.checkpoint.folder.glob("*.py")))
            found = digest(found, *code, length=16)
        return ModelIdentity(f"{self.checkpoint.name}/{self.head}", found)

    def _check_trust(self) -> None:
        if not self.checkpoint.may_run_code:
            raise ParamsError(
                f"embed.embedder={self.name} runs the code of {self.params.model!r}, which the deployment does not "
                f"trust. {trust_advice(self.params.model)}",
                "embed.model",
            )

    def pinned_params(self) -> EmbedParams:
        """With the commit in place of a branch, which may move before the last worker starts."""
        commit = self.checkpoint.commit
        return self.params.model_copy(update={"revision": commit}) if commit else self.params

    def fetch(self) -> None:
        """Bring the checkpoint and its code to this node."""
        self._check_trust()
        self.checkpoint.fetch()

    def prepare(self, frames: Frames) -> NDArray[np.uint8]:
        """The window, uint8 ``[1, T, ...]``. A clip of fewer frames than it gives each several times, evenly."""
        parts = 2 * self.window_frames
        indexes = [(2 * part + 1) * len(frames) // parts for part in range(self.window_frames)]
        return self._window(frames.images[indexes])[np.newaxis]

    @abstractmethod
    def _window(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What goes to the device of frames uint8 ``[T, H, W, 3]``: uint8 ``[T, ...]``."""

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the network on the worker's device; from the hub, the commit that `identity` returns."""
        self.fetch()
        load = lazy.load("stages.models.published_networks:load", wanted_by=f"embedder {self.name!r}")
        device, threads = worker_metadata.device, worker_metadata.num_threads
        self._network = load(self._network_class, self.checkpoint, device, threads, self.params.dtype)
        self.dtype = self._network.dtype

    @property
    def _loaded(self) -> Any:
        if self._network is None:
            raise RuntimeError("setup must be called before encode and embed_texts.")
        return self._network

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per window, float32 ``[B, D]``."""
        return self._loaded.encode(units)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts in the space of those of clips, float32 ``[N, D]``."""
        return self._loaded.encode_texts(list(texts))


class CosmosEmbed1Embedder(PublishedEmbedder):
    """Cosmos-Embed1: 224p with 256 numbers, 336p and 448p with 768; 8 frames.

    Frames go through the checkpoint's own processor in the workers that prepare. What it makes are floats; they go to
    the device as they are, as bytes, so that vectors are those of its published use.
    """

    name = "cosmos-embed1"
    example = "nvidia/Cosmos-Embed1-336p"
    head = "visual_proj"
    _network_class = "CosmosEmbed1Network"

    def _stated_frames(self) -> Any:
        path = self.checkpoint.folder / "processor_config.json"
        stated = read_json(path, "embed.model").get("num_video_frames") if path.is_file() else None
        return stated or self.checkpoint.config().get("num_video_frames") or 8  # the processor's own default

    def setup_loader(self, worker_metadata: WorkerMetadata) -> None:
        """Load the processor, so that what is wrong with it is told before any clip."""
        self.fetch()
        self._processor  # noqa: B018 - a cached property

    @cached_property
    def _processor(self) -> Any:
        load = lazy.load("stages.models.published_networks:load_processor", wanted_by=f"embedder {self.name!r}")
        return load(self.checkpoint)

    def _window(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bytes of floats ``[T, 3, h, w]``."""
        made = self._processor(videos=images.transpose(0, 3, 1, 2)[np.newaxis], return_tensors="pt")["videos"]
        return np.ascontiguousarray(np.asarray(made[0], np.float32)).view(np.uint8)


class InternVideo2Embedder(PublishedEmbedder):
    """InternVideo2, stage 2, in the layout of its 6B checkpoint: ``get_vid_feat`` and ``get_txt_feat``."""

    name = "internvideo2"
    example = "OpenGVLab/InternVideo2-Stage2_6B"
    head = "vid_feat"
    _network_class = "InternVideo2Network"

    def _stated(self, *names: str) -> Any:
        """The first of these settings that ``config.json`` has, at its top or of its vision encoder."""
        config = self.checkpoint.config()
        model = config.get("model") or {}
        places = (config, config.get("vision_encoder") or {}, model.get("vision_encoder") or {})
        return next((place[name] for name in names for place in places if isinstance(place.get(name), int)), None)

    def _stated_frames(self) -> Any:
        return self._stated("num_frames")

    @cached_property
    def _side(self) -> int:
        return self._stated("size_t", "image_res", "img_size") or 224

    def _window(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures ``[T, h, w, 3]``, resized as its published demo does."""
        resize = lazy.load("cv2:resize")
        return np.stack([resize(image, (self._side, self._side)) for image in images])
