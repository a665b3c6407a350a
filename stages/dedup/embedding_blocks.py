"""Reads vectors from the row files of embeddings, one table after another."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa

from stages import heartbeat
from stages.dedup.arrays import Vectors
from stages.errors import StageError
from stages.manifest import COMMIT_COLUMN, ManifestRef, load_commit, read_row_file
from stages.storage import Storage, map_concurrently


def embedding_blocks(storage: Storage, rows: pa.Table, table: str = "embeddings") -> Iterator[tuple[pa.Array, Vectors]]:
    """Keys and vectors of embeddings: float32 ``[N, D]``, unit length; D is the same in all blocks.

    Only row files that hold one of the embeddings are read.

    Args:
        storage: of the root.
        rows: ``partition``, ``row_key`` of each embedding, and the number of its commit.
        table: which they are of.

    Raises:
        StageError: an embedding is missing, not finite, or of another size than the others.
        ManifestError: a commit, or a file that it names, is missing or damaged.
    """
    sizes: set[int] = set()
    wanted = rows["row_key"].unique()
    names = set(wanted.to_pylist())
    for version in rows.group_by(["partition", COMMIT_COLUMN]).aggregate([]).to_pylist():
        ref = ManifestRef(storage.root, table, version["partition"])
        files = load_commit(storage, ref, version[COMMIT_COLUMN]).files
        holding = [entry for entry in files if not names.isdisjoint(entry.items)]
        read = partial(read_row_file, storage, table, columns=["row_key", "embedding"])
        for part in map_concurrently(read, holding):
            keys = part["row_key"].to_pylist()
            part = part.filter(pa.array([key in names for key in keys], pa.bool_()))
            names.difference_update(keys)  # a clip of two partitions is read once
            vectors = unit_vectors(part["embedding"])
            if len(vectors):
                sizes.add(vectors.shape[1])
                check_sizes(sizes)
                yield part["row_key"].combine_chunks(), vectors
        heartbeat.beat()
    if names:
        raise StageError(
            f"Embeddings of {len(wanted)} clips must be there, got {len(wanted) - len(names)}. "
            "Materialize embeddings again."
        )


def unit_vectors(column: pa.ChunkedArray) -> Vectors:
    """Float32 ``[N, D]``, unit length, from a column of lists.

    Raises:
        StageError: the lists differ in length, or a number is not finite.
    """
    lengths = {length for chunk in column.chunks for length in chunk.value_lengths().unique().to_pylist()}
    check_sizes(lengths)
    if not lengths:
        return np.empty((0, 0), np.float32)
    flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
    if not np.isfinite(flat).all():
        raise StageError("Embeddings must be finite numbers, got NaN or infinity. Embed the partition again.")
    matrix = np.array(flat, np.float32).reshape(len(column), -1)
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), np.float32(1e-30))


def check_sizes(sizes: Iterable[int]) -> None:
    """Check that vectors have one size.

    Raises:
        StageError: they have not.
    """
    if len(found := set(sizes)) > 1:
        raise StageError(f"All embeddings must have one size, got {sorted(found)}. Embed all partitions alike.")
