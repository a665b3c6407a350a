"""Hashes of clips that were looked at before, in files under the root, so that signals are read for new clips only.

    {root}/index/copies/{hash}.parquet     a row a clip: its key, and the hashes of its pictures

They say nothing that signals do not say: where a file is lost, signals are read again.
"""

import hashlib
import io
import itertools
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages import heartbeat
from stages.dedup.arrays import Positions
from stages.dedup.arrow import pc
from stages.dedup.copy_candidates import Landmarks
from stages.dedup.copy_columns import COPIES_FOLDER
from stages.dedup.copy_hashes import ClipHashes, landmarks_of
from stages.dedup.copy_store import CopyStore
from stages.dedup.copy_views import HASH_BYTES, STORED_WINDOWS
from stages.storage import Storage

VERSION = "3"
"""Of the hashes; raised where windows or landmarks change."""
FILES_MAX = 24
"""Files of the index from which on they are joined into one."""
CLIPS_AT_ONCE = 64
"""Clips that are hashed together."""
_SCHEMA = pa.schema([("key", pa.string()), ("hashes", pa.binary())], metadata={"version": VERSION})
_PICTURE_BYTES = HASH_BYTES * len(STORED_WINDOWS)


class CopyIndex:
    """The index of hashes, as far as some clips need it.

    Args:
        storage: of the root.
        rows: `COPY_COLUMNS` of the clips, each with a ``signals_key``.
    """

    def __init__(self, storage: Storage, rows: pa.Table) -> None:
        self._storage = storage
        self._keys = keys_of(rows)

    @property
    def missing(self) -> Positions:
        """Which of the clips the index lacks."""
        return np.flatnonzero(self._place.is_null().to_numpy(zero_copy_only=False))

    def add(self, found: pa.Table) -> None:
        """Add what `landmark_rows` gives for clips that it lacks."""
        self._write(found)
        self._stored = pa.concat_tables([self._stored, found.cast(_SCHEMA)])
        del self._place

    def landmarks(self, numbers: Positions) -> Landmarks:
        """Hashes of the clips, which have these numbers. None of them is missing."""
        column = self._stored["hashes"].cast(pa.large_binary()).combine_chunks().take(self._place)
        _, offsets, data = column.buffers()
        bounds = np.frombuffer(offsets, np.int64, len(column) + 1, 8 * column.offset)
        hashes = np.frombuffer(data or b"", np.uint8)[bounds[0] : bounds[-1]]
        pictures = hashes.reshape(-1, len(STORED_WINDOWS), HASH_BYTES)
        return Landmarks(np.repeat(numbers, np.diff(bounds) // _PICTURE_BYTES), pictures)

    @cached_property
    def _place(self) -> pa.Array:
        """Of each clip, its row in the index; null where it has none."""
        return pc.index_in(self._keys, value_set=self._stored["key"].combine_chunks())

    @cached_property
    def _stored(self) -> pa.Table:
        tables = [_SCHEMA.empty_table()]
        for path in self._files():
            try:
                table = pq.read_table(io.BytesIO(self._storage.read_bytes(path)), page_checksum_verification=True)
            except (FileNotFoundError, pa.ArrowException, OSError):
                continue  # what it held is hashed again
            if table.schema.equals(_SCHEMA) and (table.schema.metadata or {}).get(b"version") == VERSION.encode():
                tables.append(table)
            heartbeat.beat()
        return pa.concat_tables(tables)

    def _files(self) -> list[str]:
        return [info.path for info in self._storage.list(COPIES_FOLDER) if info.path.endswith(".parquet")]

    def _write(self, added: pa.Table) -> None:
        """Add a file; where there are many, one with the rows of all clips that there are, and remove the others."""
        files = self._files()
        if len(files) >= FILES_MAX:
            current = self._stored.filter(pc.is_in(self._stored["key"], value_set=self._keys))
            added = pa.concat_tables([current, added.cast(_SCHEMA)])
        buffer = io.BytesIO()
        table = added.cast(_SCHEMA).combine_chunks()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        data = buffer.getvalue()
        self._storage.write_bytes(f"{COPIES_FOLDER}/{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
        if len(files) >= FILES_MAX:
            for path in files:
                self._storage.delete(path)


def keys_of(rows: pa.Table) -> pa.Array:
    """The key of each clip's hashes."""
    columns = [rows[name].cast(pa.string()).combine_chunks() for name in ("signals_key", "clip_id")]
    return pc.binary_join_element_wise(*columns, ".")


def landmark_rows(store: CopyStore) -> pa.Table:
    """Rows of the index for the clips of a store; without a hash where nothing was recorded."""
    count = len(store.rows)
    found = [
        _hashes_of(store, range(start, min(start + CLIPS_AT_ONCE, count))) for start in range(0, count, CLIPS_AT_ONCE)
    ]
    hashes = [each for part in found for each in part]
    return pa.table({"key": keys_of(store.rows), "hashes": pa.array(hashes, pa.binary())}).cast(_SCHEMA)


def _hashes_of(store: CopyStore, rows: range) -> list[bytes]:
    clips: dict[int, ClipHashes] = {}
    for row in rows:
        clip = store.clip(row)
        heartbeat.count("dedup_clips_without_hashes", clip is None)
        if clip is not None:
            clips[row] = clip
        heartbeat.beat()
    landmarks = landmarks_of(clips, STORED_WINDOWS)
    bounds = np.searchsorted(landmarks.clip, [*rows, rows.stop]).tolist()
    return [landmarks.hashes[begin:end].tobytes() for begin, end in itertools.pairwise(bounds)]
