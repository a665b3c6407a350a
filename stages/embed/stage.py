"""The stage that turns a clip's pictures into one vector."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import registry
from stages.errors import StageError
from stages.media import with_clip
from stages.models import ModelIdentity, check_same_model
from stages.params import EmbedParams
from stages.resources import Resources
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Failed, Frames, Rejected, VideoTask


class EmbedStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.embeddings[model]``.

    Args:
        params: which embedder, and how much GPU memory it takes.
        identity: the model and weights that the rows' keys were made with; the worker must hold the same.
    """

    name = "embed"

    def __init__(self, params: EmbedParams, identity: ModelIdentity) -> None:
        self.params = params
        self.expected = identity
        self.batch_size = params.batch_size
        self.resources = Resources(gpu_memory_gb=params.gpu_memory_gb)
        self._embedder: Any = None

    def inputs(self) -> Fields:
        """Needs pictures."""
        return [], ["clips", "clips.frames"]

    def outputs(self) -> Fields:
        """Adds the vector."""
        return [], ["clips.embeddings"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the embedder on the worker's device.

        Raises:
            ParamsError: this machine holds other weights than the one that planned the run.
        """
        embedder = registry.load("embedder", self.params.embedder)(self.params)
        check_same_model(self.expected, embedder.identity(), worker_metadata.worker_id)
        embedder.setup(worker_metadata)
        self._embedder = embedder

    def process(self, task: VideoTask) -> VideoTask:
        """The task with its vector."""
        return self._embed([task])[0]

    def process_batch(self, tasks: list[VideoTask]) -> list[VideoTask | list[VideoTask] | Rejected | Failed]:
        """The tasks with their vectors, their pictures dropped except for the count."""
        return [*self._embed(tasks)]

    def _embed(self, tasks: list[VideoTask]) -> list[VideoTask]:
        vectors = self._embedder.embed([_frames(task) for task in tasks])
        return [self._done(task, vector) for task, vector in zip(tasks, vectors, strict=True)]

    def _done(self, task: VideoTask, vector: NDArray[np.float32]) -> VideoTask:
        clip = task.data.clip
        columns = {**clip.columns, "num_embedded_frames": len(_frames(task))}
        embeddings = {self.expected.model: vector}
        return with_clip(task, replace(clip, frames=None, columns=columns, embeddings=embeddings))

    def teardown(self) -> None:
        """Let go of the embedder; the network stays for the next stage of this process."""
        self._embedder = None


def _frames(task: VideoTask) -> Frames:
    clip = task.data.clip
    if clip.frames is None:
        raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadFramesStage before this one.")
    return clip.frames
