"""The stage that compares captions with the pictures they are about, by a model with two towers."""

from dataclasses import replace
from typing import Any

import numpy as np

from stages.caption.checks import SIMILARITY
from stages.errors import ParamsError, StageError
from stages.media import with_clip
from stages.models import ModelIdentity, check_same_model, construct, text_tower, trusted_entries, trusting
from stages.params import CaptionParams, EmbedParams
from stages.stage import Fields, NodeInfo, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Frames, Rejected, Row, VideoTask, Window

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


def similarity_embedder(params: CaptionParams) -> Any:
    """The embedder that `similarity_model` names, not set up.

    Raises:
        ParamsError: there is no such checkpoint.
    """
    return construct("embedder", "transformers", _embed_params(params))


def _embed_params(params: CaptionParams) -> EmbedParams:
    return EmbedParams(
        embedder="transformers",
        model=params.similarity_model,
        dtype=params.dtype,
        gpu_memory_gb=params.gpu_memory_gb,
        gpus=params.gpus,
    )


class SimilarityStage(ProcessingStage[VideoTask, VideoTask]):
    """Adds the score `SIMILARITY` to each caption: the cosine of its vector and that of its window's pictures.

    Args:
        params: of the phase; `similarity_model`.
        identity: the model and weights that are part of the row keys.
    """

    name = "similarity"
    mixes_groups = True

    def __init__(self, params: CaptionParams, identity: ModelIdentity) -> None:
        self.params = params
        self.expected = identity
        self.batch_size = params.batch_size
        self.resources = params.resources()
        self._trusted = trusted_entries()
        self._embedder: Any = None
        self._tower: Any = None

    def inputs(self) -> Fields:
        """Reads captions and frames."""
        return [], ["clips.frames", "clips.captions"]

    def outputs(self) -> Fields:
        """Adds a score."""
        return [], ["clips.similarities"]

    def setup_on_node(self, node: NodeInfo, worker_metadata: WorkerMetadata) -> None:
        """Bring the model to this node."""
        with trusting(self._trusted):
            similarity_embedder(self.params).fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load both towers.

        Raises:
            ParamsError: the checkpoint has no tower for texts, or other weights than the driver's.
        """
        with trusting(self._trusted):
            embedder = similarity_embedder(self.params)
            check_same_model(self.expected, embedder.identity(), worker_metadata.worker_id)
            embedder.setup_loader(worker_metadata)
            embedder.setup(worker_metadata)
            tower = text_tower(embedder, embedder.pinned_params(), worker_metadata)
        if tower is None:
            raise ParamsError(
                f"caption.similarity_model must have a tower for texts, as CLIP and SigLIP have, and "
                f"{self.params.similarity_model!r} has none.",
                "caption.similarity_model",
            )
        self._embedder, self._tower = embedder, tower

    def process(self, task: VideoTask) -> Outcome:
        """The task with the score, and without frames, which no later stage reads."""
        clip = task.data.clip
        if clip.frames is None:
            raise StageError(f"Clip {clip.clip_id} must carry pictures, got none. Put LoadWindowsStage first.")
        windows = tuple(self._compared(clip, clip.frames, window) for window in clip.windows)
        return with_clip(task, replace(clip, frames=None, windows=windows))

    def _compared(self, clip: Clip, frames: Frames, window: Window) -> Window:
        texts = [row["caption"] for row in window.captions if row.get("caption")]
        if not texts:
            return window
        places = list(window.pictures)
        (picture,) = self._embedder.embed([Frames(frames.pts[places], frames.images[places])])
        found = iter((self._tower.encode(texts) @ picture.astype(np.float32)).tolist())
        rows: list[Row] = []
        for row in window.captions:
            has_text = bool(row.get("caption"))
            rows.append({**row, "scores": {**row["scores"], SIMILARITY: round(next(found), 4)}} if has_text else row)
        return replace(window, captions=tuple(rows))

    def teardown(self) -> None:
        """Release both towers."""
        self._embedder = self._tower = None
