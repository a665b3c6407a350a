"""The stages that compute one vector per clip: from its frames, or from units of many clips together."""

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.embed.loading import PreparedTask
from stages.errors import StageError
from stages.failures import failure_of
from stages.media import with_clip
from stages.models import (
    BatchedEmbedder,
    ModelIdentity,
    check_same_model,
    construct,
    trusted_entries,
    trusting,
)
from stages.params import EmbedParams
from stages.stage import Fields, NodeInfo, ProcessingStage, WorkerMetadata
from stages.tasks import Failed, Frames, Rejected, VideoTask

PICTURES_AT_ONCE = 128
"""Pictures that an embedder of a user's own is handed at once, where ``embed.batch_size`` is 0."""
UNIT_TOLERANCE = 1e-3
"""How far the length of a vector may be from 1, for rounding in half precision."""
LEAST_LENGTH = 1e-30
"""Shorter vectors have lost their direction to float32, whose smallest number is near."""


class _VectorStage(ProcessingStage[Any, VideoTask]):
    """A stage that sets ``clip.embeddings[model]``.

    Args:
        params: of the phase.
        identity: the model and weights that are part of the row keys; the worker must load the same ones.
    """

    name = "embed"

    def __init__(self, params: EmbedParams, identity: ModelIdentity) -> None:
        self.params = params
        self.expected = identity
        self.resources = params.resources()
        self._trusted = trusted_entries()
        self._embedder: Any = None

    def outputs(self) -> Fields:
        """Adds the vector."""
        return [], ["clips.embeddings"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the embedder on the worker's device.

        Raises:
            ParamsError: the weights on this machine differ from those of the driver.
        """
        with trusting(self._trusted):
            embedder = construct("embedder", self.params.embedder, self.params)
            check_same_model(self.expected, embedder.identity(), worker_metadata.worker_id)
            embedder.setup(worker_metadata)
        self._embedder = embedder

    def process(self, task: Any) -> VideoTask:
        """The task with its vector and without its pictures.

        Raises:
            StageError: the embedder gave no usable vector.
        """
        outcome = self.embed([task])[0]
        if isinstance(outcome, Failed):
            raise StageError(outcome.error)
        return outcome

    def process_batch(self, tasks: list[Any]) -> list[VideoTask | list[VideoTask] | Rejected | Failed]:
        """The outcomes of `embed`."""
        return list[VideoTask | list[VideoTask] | Rejected | Failed](self.embed(tasks))

    @abstractmethod
    def embed(self, tasks: Sequence[Any]) -> list[VideoTask | Failed]:
        """The outcome of each task: with its vector and without its pictures, or failed."""

    def with_vector(self, task: VideoTask, made: object) -> VideoTask | Failed:
        """The task with the vector, scaled to unit length, and without frames; failed where the vector is useless."""
        clip = task.data.clip
        vector = _vector(made)
        fault = vector if isinstance(vector, str) else _fault(vector)
        if isinstance(vector, str) or fault:
            error = StageError(
                f"The vector of clip {clip.clip_id} must have finite numbers, not all of them 0, got {fault} from "
                f"{self.expected.model}. Change embed.embedder, or leave the clip out by a filter."
            )
            return failure_of(error)
        columns = {**clip.columns, "dtype": getattr(self._embedder, "dtype", None)}
        embedded = replace(clip, frames=None, columns=columns, embeddings={self.expected.model: _unit(vector)})
        video = with_clip(task, embedded).data
        return VideoTask(task.task_id, task.group, data=video)

    def teardown(self) -> None:
        """Release the embedder, and its connections. A network stays in memory for the next stage of this process."""
        close = getattr(self._embedder, "close", None)
        self._embedder = None
        if close is not None:
            close()


class EmbedStage(_VectorStage):
    """Hands the frames of clips to an `Embedder`."""

    def __init__(self, params: EmbedParams, identity: ModelIdentity, *, waits_for_server: bool = False) -> None:
        super().__init__(params, identity)
        pictures = params.batch_size or PICTURES_AT_ONCE
        if waits_for_server:  # a picture is a request
            pictures = self.share_requests(params.requests_in_flight)
        self.batch_size = max(1, pictures // params.frames_per_clip)

    def inputs(self) -> Fields:
        """Reads frames."""
        return [], ["clips", "clips.frames"]

    def embed(self, tasks: Sequence[VideoTask]) -> list[VideoTask | Failed]:
        """The tasks with their vectors and without their frames; the number of frames is kept as a column."""
        frames = [_frames(task) for task in tasks]
        vectors = self._embedder.embed(frames)
        if len(vectors) != len(tasks):
            raise StageError(f"{self.params.embedder} must give one vector a clip, got {len(vectors)} of {len(tasks)}.")
        counted = [_counted(task, len(each)) for task, each in zip(tasks, frames, strict=True)]
        return [
            each if isinstance(each, Failed) else self.with_vector(task, each)
            for task, each in zip(counted, vectors, strict=True)
        ]


class EncodeStage(_VectorStage):
    """Encodes the units of many clips together by a `BatchedEmbedder`, and puts the vectors of each clip together.

    Args:
        embedder: of the driver; each worker constructs its own.
        identity: see `_VectorStage`.
    """

    mixes_groups = True
    batches_in_flight = 2
    """The pictures of the next batch are in the worker when the device has done with one."""

    def __init__(self, embedder: BatchedEmbedder, identity: ModelIdentity) -> None:
        super().__init__(embedder.pinned_params(), identity)
        self.batch_size = embedder.clips_at_once

    def inputs(self) -> Fields:
        """Reads units."""
        return ["units"], ["clips"]

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Bring the model to this node."""
        with trusting(self._trusted):
            construct("embedder", self.params.embedder, self.params).fetch()

    def embed(self, tasks: Sequence[PreparedTask]) -> list[VideoTask | Failed]:
        """The tasks with their vectors and without their units."""
        by_shape: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, task in enumerate(tasks):
            by_shape[task.units.shape[1:]].append(index)
        outcomes: dict[int, VideoTask | Failed] = {}
        for indexes in by_shape.values():
            units = [tasks[index].units for index in indexes]
            vectors = self._embedder.encode_all(units)
            ends = np.cumsum([len(each) for each in units])[:-1]
            for index, of_clip in zip(indexes, np.split(vectors, ends), strict=True):
                outcomes[index] = self._pooled(tasks[index], of_clip)
        return [outcomes[index] for index in range(len(tasks))]

    def _pooled(self, task: PreparedTask, vectors: NDArray[np.float32]) -> VideoTask | Failed:
        total = vectors.sum(axis=0)
        # A total that is no vector is told as one; `pool` need not look for it.
        return self.with_vector(task, total if _fault(total) else self._embedder.pool(vectors))


def _vector(made: object) -> NDArray[np.floating[Any]] | str:
    """What an embedder made, as numbers; or what it is in their place."""
    try:
        found = np.asarray(made)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of several lengths; a tensor that needs gradients
        return f"{type(made).__name__}, which is no array ({error})"
    if found.dtype.kind not in "fiu":
        return f"values of the type {found.dtype}"
    return found if found.dtype.kind == "f" else found.astype(np.float64)


def _unit(vector: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The vector as it is stored: as it came where it has unit length already, so that no rounding is added."""
    length = _length(vector)
    if abs(length - 1) > UNIT_TOLERANCE:
        vector = vector / length
    return vector.astype(np.float32)


def _length(vector: NDArray[np.floating[Any]]) -> float:
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(vector.astype(np.float64)))


def _fault(vector: NDArray[np.floating[Any]]) -> str | None:
    """What makes a vector useless: no distance to it can be told, and one such row would stop dedup for all."""
    if vector.ndim != 1 or not vector.size:
        return f"the shape {vector.shape}"
    num_invalid = int(np.count_nonzero(~np.isfinite(vector)))
    if num_invalid:
        return f"{num_invalid} of {vector.size} that are NaN or infinite"
    if not vector.any():
        return "zeros only"
    length = _length(vector)
    return None if LEAST_LENGTH <= length < math.inf else f"a length of {length:g}"


def _frames(task: VideoTask) -> Frames:
    clip = task.data.clip
    if clip.frames is None:
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    return clip.frames


def _counted(task: VideoTask, count: int) -> VideoTask:
    """The task with the number of its frames as a column."""
    clip = task.data.clip
    return with_clip(task, replace(clip, columns={**clip.columns, "num_embedded_frames": count}))
