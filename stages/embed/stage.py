"""The stage that computes one vector from a clip's frames."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import registry
from stages.errors import StageError
from stages.failures import failure_of
from stages.media import with_clip
from stages.models import ModelIdentity, check_same_model
from stages.params import EmbedParams
from stages.resources import Resources
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Failed, Frames, Rejected, VideoTask


class EmbedStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.embeddings[model]``.

    Args:
        params: the embedder, its batch size and its GPU memory.
        identity: the model and weights that are part of the row keys; the worker must load the same ones.
    """

    name = "embed"

    def __init__(self, params: EmbedParams, identity: ModelIdentity) -> None:
        self.params = params
        self.expected = identity
        self.batch_size = params.batch_size
        self.resources = Resources(gpu_memory_gb=params.gpu_memory_gb)
        self._embedder: Any = None

    def inputs(self) -> Fields:
        """Reads frames."""
        return [], ["clips", "clips.frames"]

    def outputs(self) -> Fields:
        """Adds the vector."""
        return [], ["clips.embeddings"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the embedder on the worker's device.

        Raises:
            ParamsError: the weights on this machine differ from those of the driver.
        """
        embedder = registry.load("embedder", self.params.embedder)(self.params)
        check_same_model(self.expected, embedder.identity(), worker_metadata.worker_id)
        embedder.setup(worker_metadata)
        self._embedder = embedder

    def process(self, task: VideoTask) -> VideoTask:
        """The task with its vector and without its frames.

        Raises:
            StageError: the embedder gave no usable vector.
        """
        outcome = self._embed([task])[0]
        if isinstance(outcome, Failed):
            raise StageError(outcome.error)
        return outcome

    def process_batch(self, tasks: list[VideoTask]) -> list[VideoTask | list[VideoTask] | Rejected | Failed]:
        """The tasks with their vectors and without their frames; the number of frames is kept as a column."""
        return [*self._embed(tasks)]

    def _embed(self, tasks: list[VideoTask]) -> list[VideoTask | Failed]:
        vectors = self._embedder.embed([_frames(task) for task in tasks])
        return [self._with_vector(task, np.asarray(vector)) for task, vector in zip(tasks, vectors, strict=True)]

    def _with_vector(self, task: VideoTask, vector: NDArray[np.float32]) -> VideoTask | Failed:
        clip = task.data.clip
        if fault := _fault(vector):
            error = StageError(
                f"The vector of clip {clip.clip_id} must have finite numbers, not all of them 0, got {fault} from "
                f"{self.expected.model}. Change embed.embedder, or leave the clip out by a filter."
            )
            return failure_of(error)
        columns = {**clip.columns, "num_embedded_frames": len(_frames(task))}
        embeddings = {self.expected.model: vector}
        return with_clip(task, replace(clip, frames=None, columns=columns, embeddings=embeddings))

    def teardown(self) -> None:
        """Release the embedder. The network stays in memory for the next stage of this process."""
        self._embedder = None


def _fault(vector: NDArray[np.float32]) -> str | None:
    """What makes a vector useless: no distance to it can be told, and one such row would stop dedup for all."""
    if vector.ndim != 1 or not vector.size:
        return f"the shape {vector.shape}"
    num_invalid = int(np.count_nonzero(~np.isfinite(vector)))
    if num_invalid:
        return f"{num_invalid} of {vector.size} that are NaN or infinite"
    return None if vector.any() else "zeros only"


def _frames(task: VideoTask) -> Frames:
    clip = task.data.clip
    if clip.frames is None:
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    return clip.frames
