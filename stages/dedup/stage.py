"""The one task of dedup: read the embeddings, decide over all clips at once, make the table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from stages import heartbeat, lazy
from stages.dedup.clips import Clips, Decisions
from stages.dedup.ranking import ranks
from stages.errors import Reason, StageError
from stages.manifest import ALL_PARTITIONS, ManifestRef, load_commit, read_commit_rows
from stages.params import DedupParams
from stages.schemas import ASSETS
from stages.stage import ProcessingStage, WorkerMetadata
from stages.storage import Storage
from stages.tasks import Row, Task


@dataclass(frozen=True, slots=True)
class DedupTask(Task):
    """All clips by reference: which rows of which versions of the embeddings to read.

    Attributes:
        commits: version of the embeddings by partition, in the order of registration.
        embedding_keys: row_key of the embedding by clip id: the clips to decide over.
        ranking: values of `rank_by` by clip id, lower is better, None where the clip has none.
        previous: version of unique_clips whose decisions stand; 0 for none.
    """

    commits: dict[str, int] = field(kw_only=True)
    embedding_keys: dict[str, str] = field(kw_only=True)
    ranking: dict[str, list[float | None]] = field(kw_only=True)
    previous: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class DedupedTask(Task):
    """The finished table.

    Attributes:
        table: one row an input clip, with the columns of unique_clips but for the keys.
    """

    table: pa.Table = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes


def collect(task: Task) -> pa.Table:
    """The table of the finished task."""
    if not isinstance(task, DedupedTask):
        raise StageError(f"The last stage of dedup must return a DedupedTask, got {type(task).__name__}.")
    return task.table


class DedupStage(ProcessingStage[DedupTask, DedupedTask]):
    """Decides which clips stay. Holds all embeddings in memory: 5 KB a clip of 1280 numbers, twice."""

    name = "dedup"

    def __init__(self, params: DedupParams, root: str) -> None:
        self.params = params
        self.storage = Storage(root)
        self._decide: Any = None

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Import faiss and bound its threads."""
        self._decide = lazy.load(f"stages.dedup.{self.params.mode}:decide")
        lazy.load("stages.dedup.similarity:use_threads")(worker_metadata.num_threads)

    def process(self, task: DedupTask) -> DedupedTask:
        """The table, with one row for each clip of the task.

        Raises:
            StageError: an embedding that the task names is not there, or is no finite vector of the common size.
        """
        rows, vectors = self._read(task)
        ids: list[str] = rows["clip_id"].to_pylist()
        clips = Clips(ids, vectors, _ranking(task, ids))
        standing = self._standing(task, clips)
        decided: Decisions = self._decide(clips, standing, self.params)
        table = _table(rows, clips, decided, self.params)
        if sorted(table["clip_id"].to_pylist()) != sorted(task.embedding_keys):
            raise StageError(f"unique_clips must have one row for each of {len(task.embedding_keys)} clips.")
        heartbeat.count("dedup_clips", len(ids))
        heartbeat.count("dedup_decisions_standing", int((~standing.is_open).sum()))
        return DedupedTask(task.task_id, task.group, table=table)

    def _read(self, task: DedupTask) -> tuple[pa.Table, np.ndarray]:
        """Rows of the clips, oldest first, without embedding; and float32 ``[N, D]``."""
        columns = ["partition", "video_id", "uri", "clip_id", "row_key", "model", "embedding"]
        tables: list[pa.Table] = []
        vectors: list[np.ndarray] = []
        missing = dict(task.embedding_keys)  # a clip of two partitions is read from the one registered first
        for partition, number in task.commits.items():
            ref = ManifestRef(self.storage.root, "embeddings", partition)
            table = read_commit_rows(self.storage, ref, load_commit(self.storage, ref, number), columns)
            table = _named(missing, table).sort_by("clip_id")
            for clip_id in table["clip_id"].to_pylist():
                missing.pop(clip_id, None)
            vectors.append(_matrix(table["embedding"]))
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

    def _standing(self, task: DedupTask, clips: Clips) -> Decisions:
        """Earlier decisions that hold: of clips whose own embedding and whose kept clip's are what they were."""
        standing = Decisions.none(len(clips))
        if not task.previous:
            return standing
        ref = ManifestRef(self.storage.root, "unique_clips", ALL_PARTITIONS)
        columns = ["clip_id", "group_id", "nearest_clip_id", "similarity", "embedding_key"]
        table = read_commit_rows(self.storage, ref, load_commit(self.storage, ref, task.previous), columns)
        places = {clip_id: place for place, clip_id in enumerate(clips.ids)}
        rows: list[Row] = table.to_pylist()
        same = {row["clip_id"] for row in rows if task.embedding_keys.get(row["clip_id"]) == row["embedding_key"]}
        for row in rows:
            if row["clip_id"] in same and row["group_id"] in same:
                place = places[row["clip_id"]]
                standing.group[place] = places[row["group_id"]]
                if row["nearest_clip_id"] in same:
                    standing.nearest[place] = places[row["nearest_clip_id"]]
                    standing.similarity[place] = row["similarity"]
        return standing


def _named(keys: Mapping[str, str], table: pa.Table) -> pa.Table:
    """The rows of these clips that have these keys."""
    pairs = zip(table["clip_id"].to_pylist(), table["row_key"].to_pylist(), strict=True)
    return table.filter(pa.array([key is not None and keys.get(clip_id) == key for clip_id, key in pairs], pa.bool_()))


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Float32 ``[N, D]``, unit length, of a column of lists.

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


def _ranking(task: DedupTask, ids: list[str]) -> np.ndarray:
    """Float64 ``[N, R]``; no columns where nothing is ranked by."""
    return np.array([task.ranking[clip_id] for clip_id in ids], np.float64).reshape(len(ids), -1)


def _table(rows: pa.Table, clips: Clips, decided: Decisions, params: DedupParams) -> pa.Table:
    """Rows of unique_clips, keys left empty for the session to fill."""
    ids = clips.ids
    group = [ids[place] for place in decided.group]
    nearest = [ids[place] if place >= 0 else None for place in decided.nearest]
    similarity = [None if np.isnan(value) else float(value) for value in decided.similarity]
    removed = [kept != clip_id for clip_id, kept in zip(ids, group, strict=True)]
    facts = zip(removed, group, nearest, similarity, strict=True)
    columns: dict[str, Any] = {
        **{name: rows[name] for name in ("partition", "video_id", "uri", "clip_id", "model")},
        "embedding_key": rows["row_key"],
        "status": ["rejected" if gone else "kept" for gone in removed],
        "reason": [Reason.DUPLICATE.value if gone else None for gone in removed],
        "error": [_why(kept, near, value, params.eps) if gone else None for gone, kept, near, value in facts],
        "group_id": group,
        "group_size": np.bincount(decided.group, minlength=len(ids))[decided.group],
        "nearest_clip_id": nearest,
        "similarity": similarity,
        "rank": ranks(clips, decided.group, params),
    }
    schema = ASSETS["unique_clips"].schema
    empty = pa.nulls(len(ids), pa.string())
    return pa.table([columns.get(name, empty) for name in schema.names], schema=schema)


def _why(kept: str, nearest: str | None, similarity: float | None, eps: float) -> str:
    near = f"kept clip {kept}" if nearest == kept else f"clip {nearest}, which belongs to kept clip {kept},"
    return f"Similarity to {near} must be below {1 - eps:g}, got {similarity:.6f}."
