"""The stage of dedup and its one task: reads embeddings, decides over all clips, and makes the output table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from stages import heartbeat, lazy
from stages.dedup.arrays import Clips, Decisions
from stages.dedup.ranking import ranks
from stages.errors import Reason, StageError
from stages.manifest import ALL, ManifestRef, load_commit, read_commit
from stages.params import DedupParams
from stages.schemas import ASSETS
from stages.stage import ProcessingStage, WorkerMetadata
from stages.storage import Storage
from stages.tasks import Row, Task


@dataclass(frozen=True, slots=True)
class DedupTask(Task):
    """References to all clips: the commits and row keys of their embeddings.

    Attributes:
        commits: commit number of the embeddings by partition, in the order of registration.
        embedding_keys: row_key of the embedding by clip id, for every clip that is decided over.
        ranking: values of `rank_by` by clip id; lower is better, None where the clip has no value.
        earlier_commit: commit number of unique_clips whose decisions are kept; 0 for none.
    """

    commits: dict[str, int] = field(kw_only=True)
    embedding_keys: dict[str, str] = field(kw_only=True)
    ranking: dict[str, list[float | None]] = field(kw_only=True)
    earlier_commit: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class DedupedTask(Task):
    """The output table.

    Attributes:
        table: one row per clip, with the columns of unique_clips; the keys are null.
    """

    table: pa.Table = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes


def collect(task: Task) -> pa.Table:
    """The output table of the last stage's task."""
    if not isinstance(task, DedupedTask):
        raise StageError(f"The last stage of dedup must return a DedupedTask, got {type(task).__name__}.")
    return task.table


class DedupStage(ProcessingStage[DedupTask, DedupedTask]):
    """Decides which clips are kept. It holds all embeddings in memory twice: 5 KB per clip of 1280 numbers."""

    name = "dedup"

    def __init__(self, params: DedupParams, root: str) -> None:
        self.params = params
        self.storage = Storage(root)
        self._decide: Any = None

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Import faiss and set its number of threads."""
        self._decide = lazy.load(f"stages.dedup.{self.params.mode}:decide")
        lazy.load("stages.dedup.similarity:set_num_threads")(worker_metadata.num_threads)

    def process(self, task: DedupTask) -> DedupedTask:
        """The output table, with one row for each clip of the task.

        Raises:
            StageError: an embedding that the task names is missing, not finite, or of another size than the others.
        """
        rows, vectors = self._read_embeddings(task)
        ids: list[str] = rows["clip_id"].to_pylist()
        clips = Clips(ids, vectors, _ranking_array(task, ids))
        earlier = self._earlier_decisions(task, clips)
        decided: Decisions = self._decide(clips, earlier, self.params)
        table = _result_table(rows, clips, decided, self.params)
        if sorted(table["clip_id"].to_pylist()) != sorted(task.embedding_keys):
            raise StageError(f"unique_clips must have one row for each of {len(task.embedding_keys)} clips.")
        heartbeat.count("dedup_clips", len(ids))
        heartbeat.count("dedup_decisions_standing", int((~earlier.is_undecided).sum()))
        return DedupedTask(task.task_id, task.group, table=table)

    def _read_embeddings(self, task: DedupTask) -> tuple[pa.Table, np.ndarray]:
        """Rows of the clips, oldest first, without their embeddings; and the embeddings, float32 ``[N, D]``."""
        columns = ["partition", "video_id", "uri", "clip_id", "row_key", "model", "embedding"]
        tables: list[pa.Table] = []
        vectors: list[np.ndarray] = []
        missing = dict(task.embedding_keys)  # a clip of two partitions is read from the one that was registered first
        for partition, number in task.commits.items():
            ref = ManifestRef(self.storage.root, "embeddings", partition)
            table = read_commit(self.storage, ref, load_commit(self.storage, ref, number), columns)
            table = _with_row_keys(missing, table).sort_by("clip_id")
            for clip_id in table["clip_id"].to_pylist():
                missing.pop(clip_id, None)
            vectors.append(_unit_vectors(table["embedding"]))
            tables.append(table.drop_columns(["embedding"]))
            heartbeat.beat()
        sizes = {matrix.shape[1] for matrix in vectors if len(matrix)}
        if len(sizes) > 1:
            raise StageError(f"All embeddings must have one size, got {sorted(sizes)}. Embed all partitions alike.")
        rows = pa.concat_tables(tables)
        if len(rows) != len(task.embedding_keys):
            raise StageError(
                f"Embeddings of {len(task.embedding_keys)} clips must be there, got {len(rows)}. "
                "Materialize embeddings again."
            )
        return rows, np.concatenate([matrix for matrix in vectors if len(matrix)])

    def _earlier_decisions(self, task: DedupTask, clips: Clips) -> Decisions:
        """The decisions of the earlier commit for clips whose embedding, and whose kept clip's, are unchanged."""
        earlier = Decisions.undecided(len(clips))
        if not task.earlier_commit:
            return earlier
        ref = ManifestRef(self.storage.root, "unique_clips", ALL)
        columns = ["clip_id", "group_id", "nearest_clip_id", "similarity", "embedding_key"]
        table = read_commit(self.storage, ref, load_commit(self.storage, ref, task.earlier_commit), columns)
        positions = {clip_id: position for position, clip_id in enumerate(clips.ids)}
        rows: list[Row] = table.to_pylist()
        unchanged = {row["clip_id"] for row in rows if task.embedding_keys.get(row["clip_id"]) == row["embedding_key"]}
        for row in rows:
            if row["clip_id"] in unchanged and row["group_id"] in unchanged:
                position = positions[row["clip_id"]]
                earlier.group[position] = positions[row["group_id"]]
                if row["nearest_clip_id"] in unchanged:
                    earlier.nearest[position] = positions[row["nearest_clip_id"]]
                    earlier.similarity[position] = row["similarity"]
        return earlier


def _with_row_keys(keys: Mapping[str, str], table: pa.Table) -> pa.Table:
    """The rows whose row_key is the one that `keys` has for their clip."""
    pairs = zip(table["clip_id"].to_pylist(), table["row_key"].to_pylist(), strict=True)
    return table.filter(pa.array([key is not None and keys.get(clip_id) == key for clip_id, key in pairs], pa.bool_()))


def _unit_vectors(column: pa.ChunkedArray) -> np.ndarray:
    """Float32 ``[N, D]``, unit length, from a column of lists.

    Raises:
        StageError: the lists differ in length, or a number is not finite.
    """
    lengths = {length for chunk in column.chunks for length in chunk.value_lengths().unique().to_pylist()}
    if len(lengths) > 1:
        raise StageError(f"All embeddings must have one size, got {sorted(lengths)}. Embed the partition again.")
    if not lengths:
        return np.empty((0, 0), np.float32)
    flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
    if not np.isfinite(flat).all():
        raise StageError("Embeddings must be finite numbers, got NaN or infinity. Embed the partition again.")
    matrix = np.array(flat, np.float32).reshape(len(column), -1)
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), np.float32(1e-30))


def _ranking_array(task: DedupTask, ids: list[str]) -> np.ndarray:
    """Float64 ``[N, R]``; R is 0 where `rank_by` is empty."""
    return np.array([task.ranking[clip_id] for clip_id in ids], np.float64).reshape(len(ids), -1)


def _result_table(rows: pa.Table, clips: Clips, decided: Decisions, params: DedupParams) -> pa.Table:
    """Rows of unique_clips. The keys are null; the session sets them."""
    ids = clips.ids
    group = [ids[position] for position in decided.group]
    nearest = [ids[position] if position >= 0 else None for position in decided.nearest]
    similarity = [None if np.isnan(value) else float(value) for value in decided.similarity]
    removed = [kept != clip_id for clip_id, kept in zip(ids, group, strict=True)]
    decisions = zip(removed, group, nearest, similarity, strict=True)
    columns: dict[str, Any] = {
        **{name: rows[name] for name in ("partition", "video_id", "uri", "clip_id", "model")},
        "embedding_key": rows["row_key"],
        "status": ["rejected" if is_removed else "kept" for is_removed in removed],
        "reason": [Reason.DUPLICATE.value if is_removed else None for is_removed in removed],
        "error": [
            _duplicate_detail(kept, near, value, params.eps) if is_removed else None
            for is_removed, kept, near, value in decisions
        ],
        "group_id": group,
        "group_size": np.bincount(decided.group, minlength=len(ids))[decided.group],
        "nearest_clip_id": nearest,
        "similarity": similarity,
        "rank": ranks(clips, decided.group, params),
    }
    schema = ASSETS["unique_clips"].schema
    empty = pa.nulls(len(ids), pa.string())
    return pa.table([columns.get(name, empty) for name in schema.names], schema=schema)


def _duplicate_detail(kept: str, nearest: str | None, similarity: float | None, eps: float) -> str:
    near = f"kept clip {kept}" if nearest == kept else f"clip {nearest}, which belongs to kept clip {kept},"
    return f"Similarity to {near} must be below {1 - eps:g}, got {similarity:.6f}."
