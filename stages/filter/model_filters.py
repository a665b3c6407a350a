"""Filters that score a few pictures of a clip with a model: nsfw, quality, aesthetic. Workers load the models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages import registry
from stages.errors import ParamsError, StageError
from stages.filter.base import Filter, Limit, Measured
from stages.filter.stage import MAX_FRAMES
from stages.media import FRAME_KEY_COLUMNS, evenly_spaced_indices
from stages.models import (
    PICTURES_ON_CPU,
    PICTURES_ON_GPU,
    BatchedEmbedder,
    Brisque,
    LinearHead,
    NsfwClassifier,
    construct,
    encoding_key,
    file_hash,
)
from stages.params import EmbedParams
from stages.resources import Dtype
from stages.stage import WorkerMetadata
from stages.tasks import Clip, Frames


def _pictures(clip: Clip, wanted: int) -> Frames:
    """At most so many of the clip's pictures, spread evenly."""
    if clip.frames is None or not len(clip.frames):
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    positions = evenly_spaced_indices(len(clip.frames), wanted)
    return Frames(clip.frames.pts[positions], clip.frames.images[positions])


def _first_and_largest(batch_size: int, *, requires_gpu: bool) -> tuple[int, int]:
    """Pictures of the first call of a network, and of a call at most; see `DeviceBatches`."""
    largest = batch_size or (PICTURES_ON_GPU if requires_gpu else PICTURES_ON_CPU)
    return batch_size or PICTURES_ON_CPU, largest


def _finite(scores: NDArray[np.floating[Any]], clip: Clip, name: str) -> NDArray[np.float32]:
    """The scores, as they are stored. A model that gives NaN must not pass for one that measured nothing.

    Raises:
        StageError: one of them is not finite.
    """
    if not np.isfinite(scores).all():
        raise StageError(
            f"The model of filter {name!r} must give finite numbers, got {scores.tolist()} for clip {clip.clip_id}. "
            "Check its weights."
        )
    return scores.astype(np.float32)


@dataclass
class NsfwFilter(Filter):
    """Probability that a picture is pornographic, 0 to 1. Lower limits are stricter."""

    nsfw_max: float
    nsfw_model: str
    nsfw_labels: list[str]
    nsfw_pictures: int
    nsfw_revision: str = "main"
    dtype: Dtype = "auto"
    batch_size: int = 0
    requires_gpu: bool = False

    name = "nsfw"
    needs_frames = True
    columns = FRAME_KEY_COLUMNS
    limits = (Limit("nsfw", "nsfw_max", "max"),)
    reductions: ClassVar[Mapping[str, str]] = {"nsfw": "max"}

    def __post_init__(self) -> None:
        self._classifier = NsfwClassifier(
            self.nsfw_model, self.nsfw_labels, revision=self.nsfw_revision, dtype=self.dtype
        )

    def identity(self) -> dict[str, Any]:
        """The model, its weights and labels, and the number of pictures."""
        return {**self._classifier.identity(), "pictures": self.nsfw_pictures}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the classifier."""
        self._classifier.load(worker_metadata.device, worker_metadata.num_threads)

    @property
    def dtype_computed(self) -> str | None:
        """Of the classifier."""
        return self._classifier.dtype

    def fetch(self) -> None:
        """Bring the classifier's weights."""
        self._classifier.fetch()

    def score(self, clip: Clip) -> NDArray[np.float32]:
        """One probability a picture."""
        return self.score_all([clip])[0]

    def score_all(self, clips: Sequence[Clip]) -> list[Any]:
        """The same of several clips, whose pictures the network gets together."""
        pictures = [_pictures(clip, self.nsfw_pictures).images for clip in clips]
        calls = _first_and_largest(self.batch_size, requires_gpu=self.requires_gpu)
        found = self._classifier.probabilities([image for of_clip in pictures for image in of_clip], *calls)
        return [_finite(scores, clip, self.name) for scores, clip in zip(_split(found, pictures), clips, strict=True)]


@dataclass
class QualityFilter(Filter):
    """BRISQUE of the stored pictures: about 0 for undistorted, 100 for badly distorted. Lower limits are stricter."""

    quality_brisque_max: float
    quality_pictures: int

    name = "quality"
    needs_frames = True
    columns = FRAME_KEY_COLUMNS
    limits = (Limit("quality_brisque", "quality_brisque_max", "max"),)
    reductions: ClassVar[Mapping[str, str]] = {"quality_brisque": "median"}

    def __post_init__(self) -> None:
        self._brisque: Brisque | None = None

    def identity(self) -> dict[str, Any]:
        """The weights, and the number of pictures."""
        return {"model": "brisque", "weights_hash": Brisque.weights_hash(), "pictures": self.quality_pictures}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the support vectors."""
        self._brisque = Brisque()

    def score(self, clip: Clip) -> Mapping[str, NDArray[np.float32]]:
        """One score a picture; NaN, which counts for nothing, for one that is flat."""
        if self._brisque is None:
            raise RuntimeError("setup must be called before score.")
        scores = self._brisque.scores(_pictures(clip, self.quality_pictures).images)
        return {"quality_brisque": scores.astype(np.float32)}


@dataclass
class AestheticFilter(Filter):
    """A linear head over embeddings of single pictures, such as LAION's, on its own scale. Higher limits are stricter.

    The head is given vectors of unit length, as LAION's are trained with. `score` encodes the pictures; a threshold, or
    ``filter.reduce=[aesthetic=min]``, encodes nothing.
    """

    aesthetic_min: float
    aesthetic_head: str
    aesthetic_embedder: str
    aesthetic_model: str
    aesthetic_revision: str
    aesthetic_pictures: int
    dtype: Dtype = "auto"
    batch_size: int = 0
    requires_gpu: bool = False

    name = "aesthetic"
    needs_frames = True
    columns = FRAME_KEY_COLUMNS
    limits = (Limit("aesthetic", "aesthetic_min", "min"),)
    reductions: ClassVar[Mapping[str, str]] = {"aesthetic": "mean"}

    def __post_init__(self) -> None:
        self._head: LinearHead | None = None
        # A part of a device is as good as another here: it is the worker that takes it.
        self._params = EmbedParams(
            embedder=self.aesthetic_embedder,
            model=self.aesthetic_model,
            revision=self.aesthetic_revision,
            dtype=self.dtype,
            batch_size=self.batch_size,
            gpus=1.0 if self.requires_gpu else 0.0,
        )
        self._embedder: Any = construct("embedder", self.aesthetic_embedder, self._params)

    def identity(self) -> dict[str, Any]:
        """The encoder with its weights and code, the head, and the number of pictures.

        Raises:
            ParamsError: the encoder or the head does not exist.
        """
        if not Path(self.aesthetic_head).is_file():
            raise ParamsError(
                f"filter.aesthetic_head must be a file with a linear head, got {self.aesthetic_head!r}, which does not "
                "exist. LAION's are sa_0_4_vit_l_14_linear.pth and sac+logos+ava1-l14-linearMSE.",
                "filter.aesthetic_head",
            )
        return {
            **self._encoder_identity(),
            "head": file_hash(self.aesthetic_head),
            "pictures": self.aesthetic_pictures,
            **({} if self.dtype == "auto" else {"dtype": self.dtype}),
        }

    def _encoder_identity(self) -> dict[str, Any]:
        code = registry.code_identity("embedder", self.aesthetic_embedder)
        return {**self._embedder.identity().as_dict(), **code}

    @property
    def dtype_computed(self) -> str | None:
        """Of the encoder."""
        return getattr(self._embedder, "dtype", None)

    def fetch(self) -> None:
        """Bring the encoder's weights, where it has any to bring."""
        if isinstance(self._embedder, BatchedEmbedder):
            self._embedder.fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load encoder and head, and try them on a grey picture.

        Raises:
            ParamsError: one of them cannot be loaded, or the head takes vectors of another size.
        """
        self._head = LinearHead(self.aesthetic_head, "filter.aesthetic_head")
        self._embedder.setup(worker_metadata)
        rows, columns = np.mgrid[:64, :64]
        picture = np.repeat((2 * (rows + columns)).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        size = self._vectors([picture]).shape[1]
        if size != self._head.size:
            raise ParamsError(
                f"filter.aesthetic_head must be a head over vectors of {size} numbers, as filter.aesthetic_embedder "
                f"and aesthetic_model make them, got one over {self._head.size}. LAION's is for CLIP ViT-L/14, which "
                "makes 768.",
                "filter.aesthetic_head",
            )

    def score(self, clip: Clip) -> Measured:
        """One score a picture, and the clip's embedding, which embed need not make again where it is the same."""
        return self.score_all([clip])[0]

    def score_all(self, clips: Sequence[Clip]) -> list[Any]:
        """The same of several clips, whose pictures the encoder gets together."""
        if self._head is None:
            raise RuntimeError("setup must be called before score.")
        frames = [_pictures(clip, self.aesthetic_pictures) for clip in clips]
        encoded = self._encoded(frames)
        return [self._measured(*each) for each in zip(clips, frames, *zip(*encoded, strict=True), strict=True)]

    def _measured(
        self, clip: Clip, frames: Frames, vectors: NDArray[np.float32], embedding: NDArray[np.float32] | None
    ) -> Measured:
        if self._head is None or clip.frames is None:
            raise RuntimeError("setup must be called before score, with pictures.")
        scores = _finite(self._head(vectors), clip, self.name)
        # Of more pictures than a filter sees, embed takes others.
        found = None if embedding is None or len(clip.frames) >= MAX_FRAMES else self._column(embedding, len(frames))
        return Measured({self.name: scores}, {"clip_embedding": found})

    def _encoded(self, clips: Sequence[Frames]) -> list[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Of each clip a vector of unit length a picture, ``[N, D]``, and its own; None where embed makes another."""
        embedder = self._embedder
        if not isinstance(embedder, BatchedEmbedder) or embedder.pictures_per_unit > 1:
            return [(self._vectors(frames.images), None) for frames in clips]
        units = [embedder.prepare(frames) for frames in clips]
        is_one_shape = len({each.shape[1:] for each in units}) == 1
        parts = [units] if is_one_shape else [[each] for each in units]
        encoded = np.concatenate([embedder.encode_all(part) for part in parts])
        ends = np.cumsum([len(each) for each in units])[:-1]
        return [self._pooled(each) for each in np.split(encoded, ends)]

    def _pooled(self, encoded: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        pool = self._embedder.pool
        total = encoded.sum(axis=0)
        vectors = np.stack([pool(each[np.newaxis]) for each in encoded])
        return vectors, pool(encoded) if np.isfinite(total).all() and total.any() else None

    def _column(self, embedding: NDArray[np.float32], pictures: int) -> dict[str, Any]:
        key = encoding_key(self._embedder.params, self._encoder_identity(), self.aesthetic_pictures)
        dtype = getattr(self._embedder, "dtype", None)
        return {"key": key, "vector": embedding.tolist(), "pictures": pictures, "dtype": dtype}

    def _vectors(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector of unit length a picture, ``[N, D]``."""
        pts = np.zeros(1, np.int64)
        return self._embedder.embed([Frames(pts, image[np.newaxis]) for image in images])


def _split(found: NDArray[Any], pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
    """The scores of each clip's pictures, of those of all."""
    return np.split(found, np.cumsum([len(of_clip) for of_clip in pictures])[:-1])
