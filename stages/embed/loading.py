"""The stage that loads a clip's pictures and makes of them what a model takes, on CPUs."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.errors import StageError
from stages.media import LoadFramesStage, with_clip
from stages.models import BatchedEmbedder, ModelIdentity, check_same_model, construct, trusted_entries, trusting
from stages.params import EmbedParams
from stages.stage import Fields, NodeInfo, WorkerMetadata
from stages.tasks import VideoTask


@dataclass(frozen=True, slots=True)
class PreparedTask(VideoTask):
    """A task about one clip, with the units of its pictures that a model takes.

    Attributes:
        units: uint8 ``[K, ...]``, see `BatchedEmbedder.prepare`.
    """

    units: NDArray[np.uint8] = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of its units."""
        return int(self.units.nbytes)


class PrepareStage(LoadFramesStage):
    """Loads the frames of a clip and prepares them; what goes on is a `PreparedTask` without frames.

    Args:
        root: root that holds the frame stores.
        embedder: of the driver; each worker constructs its own.
        identity: the model that is part of the row keys; its preprocessing must be the same here.
    """

    def __init__(self, root: str, embedder: BatchedEmbedder, identity: ModelIdentity) -> None:
        super().__init__(root, max_frames=embedder.frames_per_clip)
        self._params: EmbedParams = embedder.pinned_params()
        self._expected = identity
        self._trusted = trusted_entries()
        self._embedder: Any = None

    def outputs(self) -> Fields:
        """Adds the units."""
        return ["units"], []

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Bring the model to this node."""
        with trusting(self._trusted):
            construct("embedder", self._params.embedder, self._params).fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Create the frame loader, and load what prepares."""
        super().setup(worker_metadata)
        with trusting(self._trusted):
            embedder = construct("embedder", self._params.embedder, self._params)
            check_same_model(self._expected, embedder.identity(), worker_metadata.worker_id)
            embedder.setup_loader(worker_metadata)
        self._embedder = embedder

    def process(self, task: VideoTask) -> PreparedTask:
        """The task with its units, and the number of pictures that they are made of as a column.

        Raises:
            SourceError, StageError: as `LoadFramesStage.process`.
        """
        loaded = super().process(task)
        clip = loaded.data.clip
        if clip.frames is None:
            raise StageError(f"Clip {clip.clip_id} must have pictures in the frame store, got none.")
        columns = {**clip.columns, "num_embedded_frames": len(clip.frames)}
        units = self._embedder.prepare(clip.frames)
        video = with_clip(loaded, replace(clip, frames=None, columns=columns)).data
        return PreparedTask(task.task_id, task.group, data=video, units=units)

    def teardown(self) -> None:
        """Release the frame store and what prepares."""
        super().teardown()
        self._embedder = None
