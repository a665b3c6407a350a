"""The files of segments: vectors of embeddings, kept under the root so that row files are read once.

    {root}/index/{model}/{hash}.vectors   float32, one vector after another; mapped into memory
    {root}/index/{model}/{hash}.parquet   their row keys, and a checksum of each few thousand vectors; written last

A segment is named by the hash of what it holds, and never changes. It says nothing that row files do not say: where one
is lost or damaged, what it held is read from them again.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages import heartbeat
from stages.dedup.arrays import Vectors
from stages.dedup.vector_store import CHECKED_ROWS, Segment, checksum
from stages.manifest import DAMAGED_FILE_ERRORS
from stages.storage import Storage, digest

INDEX_FOLDER = "index"
KEYS, VECTORS = ".parquet", ".vectors"
COPY_BYTES = 16 << 20
Blocks = Iterable[tuple[pa.Array, Vectors]]
"""Keys and vectors of embeddings."""


def model_folder(model: str, weights_hash: str) -> str:
    """Folder of the index of one model's vectors."""
    return f"{INDEX_FOLDER}/{digest(model, weights_hash, length=16)}"


def write_table(storage: Storage, path: str, table: pa.Table, facts: object = None) -> None:
    """Write a small table with page checksums, and facts in its metadata."""
    buffer = io.BytesIO()
    table = table.replace_schema_metadata({"facts": json.dumps(facts)})
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    storage.write_bytes(path, buffer.getvalue())


def read_table(storage: Storage, path: str) -> tuple[pa.Table, object] | None:
    """A table and its facts; None where it is lost or damaged."""
    try:
        data = pa.BufferReader(storage.read_bytes(path))
        table = pq.read_table(data, page_checksum_verification=True)
        return table, json.loads((table.schema.metadata or {})[b"facts"])
    except FileNotFoundError:
        return None
    except DAMAGED_FILE_ERRORS:
        return None


def write_segment(storage: Storage, folder: str, blocks: Blocks) -> str | None:
    """Write a segment with the vectors of all blocks, which are held in memory one at a time; returns its name.

    None where there are no vectors.
    """
    hasher = hashlib.sha256()
    keys: list[pa.Array] = []
    checksums: list[int] = []
    size = 0
    with tempfile.NamedTemporaryFile(suffix=VECTORS) as file:
        for part, vectors in _of_checked_rows(blocks):
            data = np.ascontiguousarray(vectors, np.float32)
            file.write(data.data)
            hasher.update(data.data)
            hasher.update("\n".join(part.to_pylist()).encode())
            keys.append(part)
            checksums.append(checksum(data))
            size = data.shape[1]
            heartbeat.beat()
        if not keys:
            return None
        file.flush()
        name = hasher.hexdigest()[:32]
        storage.put_file(f"{folder}/{name}{VECTORS}", file.name)
    table = pa.table({"row_key": pa.concat_arrays(keys)})
    write_table(storage, f"{folder}/{name}{KEYS}", table, {"size": size, "checksums": checksums})
    return name


def open_segment(storage: Storage, folder: str, name: str, scratch: Path) -> Segment | None:
    """Map a segment into memory; None where it is lost or damaged.

    Args:
        storage: of the root.
        folder: of the model.
        name: of the segment.
        scratch: a folder on this machine, for copies of files of an object store.
    """
    found = read_table(storage, f"{folder}/{name}{KEYS}")
    if found is None or not isinstance(facts := found[1], dict):
        return None
    keys = found[0]["row_key"].combine_chunks()
    path = _local_file(storage, f"{folder}/{name}{VECTORS}", scratch)
    if path is None or path.stat().st_size != 4 * len(keys) * facts["size"]:
        return None
    vectors = np.memmap(path, np.float32, "r", shape=(len(keys), facts["size"]))
    return Segment(name, keys, vectors, facts["checksums"])


def copied_file(scratch: Path, path: str) -> Path:
    """Where a file of an object store is copied to."""
    return scratch / path.replace("/", "-")


def _local_file(storage: Storage, path: str, scratch: Path) -> Path | None:
    """The file on this machine, copied where the root is not on it; None where there is none."""
    if storage.is_local:
        local = Path(storage.location(path))
        return local if local.exists() else None
    local = copied_file(scratch, path)
    if not local.exists():
        try:
            with storage.open(path) as source, local.with_suffix(f".{os.getpid()}").open("wb") as target:
                while data := source.read(COPY_BYTES):
                    target.write(data)
                    heartbeat.beat()
        except FileNotFoundError:
            return None
        local.with_suffix(f".{os.getpid()}").replace(local)
    return local


def _of_checked_rows(blocks: Blocks) -> Iterator[tuple[pa.Array, Vectors]]:
    """The same keys and vectors in blocks of `CHECKED_ROWS`, but for the last."""
    keys: list[pa.Array] = []
    parts: list[Vectors] = []
    count = 0
    for part, vectors in blocks:
        keys.append(part)
        parts.append(vectors)
        count += len(part)
        if count >= CHECKED_ROWS:
            joined, rows = pa.concat_arrays(keys), np.concatenate(parts)
            end = count - count % CHECKED_ROWS
            for start in range(0, end, CHECKED_ROWS):
                yield joined[start : start + CHECKED_ROWS], rows[start : start + CHECKED_ROWS]
            keys, parts, count = [joined[end:]], [rows[end:]], count - end
    if count:
        yield pa.concat_arrays(keys), np.concatenate(parts)
