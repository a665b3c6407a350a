"""The embed phase: one vector per clip, from frames of the frame store."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from stages import registry
from stages.embed.loading import PrepareStage
from stages.embed.stage import EmbedStage, EncodeStage
from stages.errors import Reason, concerning
from stages.manifest import CommittedFile, ManifestRef
from stages.media import CLIP_TASK_FIELDS, FRAME_COLUMNS, FRAME_KEY_COLUMNS, LoadFramesStage, clip_length, clip_task
from stages.models import BatchedEmbedder, Embedder, ModelIdentity, construct, encoding_key
from stages.params import EmbedParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.tasks import Row, Task, VideoLength, VideoTask

ENCODED = "clip_embedding"
"""Column of `filtered_clips` with what a filter's encoder made of the clip."""
SIZE = "embedding_size"


class EmbedPhase(Phase[EmbedParams]):
    """Embeds kept clips. Its row keys depend on the clip and its frames, not on scores or thresholds of the filters."""

    inputs = ("filtered_clips",)
    input_columns: ClassVar[Mapping[str, list[str]]] = {"filtered_clips": [*FRAME_COLUMNS, ENCODED]}
    key_columns = FRAME_KEY_COLUMNS
    compared_columns = (SIZE,)
    decided_columns = (SIZE, "clip_id", "status", "reason", "error")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item per kept clip."""
        return inputs["filtered_clips"].select([*FRAME_COLUMNS, ENCODED])

    def task(self, item: Row, task_id: str) -> Task:
        """A task with one video and one clip."""
        return clip_task({name: value for name, value in item.items() if name != ENCODED}, task_id)

    def rows_without_work(
        self, output: ManifestRef, files: Collection[CommittedFile], items: Iterable[tuple[str, Row]]
    ) -> dict[str, list[Row]]:
        """The rows of clips whose very vector a filter has made already, see `encoding_key`."""
        embedder = self._embedder
        if not isinstance(embedder, BatchedEmbedder) or embedder.pictures_per_unit > 1:
            return {}
        key = encoding_key(self.params, self.identity(), self.params.frames_per_clip)
        model, names = self._identity().as_dict(), ASSETS["embeddings"].schema.names
        return {
            row_key: [{**{name: item.get(name) for name in names}, **model, **_columns_of(item[ENCODED])}]
            for row_key, item in items
            if item[ENCODED] is not None and item[ENCODED]["key"] == key
        }

    def compare(self, rows: pa.Table) -> dict[str, list[Row]]:
        """The size that most vectors have, of those that have another: they would stop dedup for all."""
        sized = rows.filter(pc.field(SIZE).is_valid())
        counts = Counter(sized[SIZE].to_pylist())
        if len(counts) < 2:
            return {}
        common = max(counts, key=lambda size: (counts[size], size))
        others = sized.filter(pc.field(SIZE) != common)
        return {row_key: [{SIZE: common}] for row_key in others["row_key"].to_pylist()}

    def decide_compared(self, row: Row, found: Row) -> Row:
        """The row, failed: its vector has another size than most."""
        sizes = f"{found[SIZE]} numbers, as most of the partition have, got {row[SIZE]}"
        error = f"The vector of clip {row['clip_id']} must have {sizes}. Change embed.embedder."
        return {**row, "status": "failed", "reason": str(Reason.STAGE_ERROR), "error": error, "embedding": None}

    def cost(self, item: Row) -> float:
        """Pictures that are read and embedded."""
        return min(self.params.frames_per_clip, clip_length(item).seconds * (item["frames_fps"] or 1.0) + 1)

    def video_length(self, item: Row) -> VideoLength:
        """Of the clip."""
        return clip_length(item)

    def pipeline(self) -> Pipeline:
        """Loading some frames of the clip, then embedding them."""
        identity = self._identity()
        embedder = self._embedder
        if isinstance(embedder, BatchedEmbedder):
            stages = [PrepareStage(self.root, embedder, identity), EncodeStage(embedder, identity)]
        else:
            loading = LoadFramesStage(self.root, max_frames=self.params.frames_per_clip)
            stages = [loading, self._embed_stage(identity)]
        return Pipeline("embed", [*stages], collect=partial(_rows, identity.as_dict()), provides=CLIP_TASK_FIELDS)

    def _embed_stage(self, identity: ModelIdentity) -> EmbedStage:
        waits = bool(getattr(self._embedder, "waits_for_server", False))
        return EmbedStage(self.params, identity, waits_for_server=waits)

    def identity(self) -> dict[str, Any]:
        """The model and the hash of its weights; of a user's own embedder the version of its code too."""
        with concerning("embed.embedder"):
            return {**self._identity().as_dict(), **registry.code_identity("embedder", self.params.embedder)}

    def _identity(self) -> ModelIdentity:
        with concerning("embed.embedder"):
            return self._embedder.identity()

    @cached_property
    def _embedder(self) -> Embedder | BatchedEmbedder:
        with concerning("embed.embedder"):
            return construct("embedder", self.params.embedder, self.params)


def _columns_of(encoded: Mapping[str, Any]) -> Row:
    """Columns of an embedding that a filter has made."""
    made = {"embedding": encoded["vector"], "num_embedded_frames": encoded["pictures"], "dtype": encoded["dtype"]}
    return {**made, SIZE: len(encoded["vector"]), "status": "kept"}


def _rows(identity: dict[str, Any], task: Task) -> list[Row]:
    clip = cast(VideoTask, task).data.clip
    copied = {name: clip.columns.get(name) for name in ASSETS["embeddings"].schema.names}
    vector = clip.embeddings[identity["model"]]
    return [{**copied, **identity, "status": "kept", "embedding": vector, SIZE: len(vector)}]
