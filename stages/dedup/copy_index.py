"""Hashes of clips that were looked at before, in files under the root, so that signals are read for new clips only.

    {root}/index/copies/{hash}.parquet     a row a clip: its key, and the hashes of its pictures

They say nothing that signals do not say: where a file is lost, signals are read again.
"""

import itertools

import numpy as np
import pyarrow as pa

from stages import heartbeat
from stages.dedup.arrays import Positions
from stages.dedup.arrow import pc
from stages.dedup.copy_columns import COPIES_FOLDER
from stages.dedup.copy_hashes import ClipHashes, landmarks_of
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_store import CopyStore
from stages.dedup.copy_views import HASH_BYTES, STORED_WINDOWS
from stages.dedup.keyed_files import KeyedFiles
from stages.storage import Storage

VERSION = "4"
"""Of the hashes; raised where windows or landmarks change."""
CLIPS_AT_ONCE = 64
"""Clips that are hashed together."""
_PICTURE_BYTES = HASH_BYTES * len(STORED_WINDOWS)


class CopyIndex:
    """The index of hashes, as far as some clips need it.

    Args:
        storage: of the root.
        rows: `COPY_COLUMNS` of the clips, each with a ``signals_key``.
    """

    def __init__(self, storage: Storage, rows: pa.Table) -> None:
        self.keys = keys_of(rows)
        self._files = KeyedFiles(storage, COPIES_FOLDER, self.keys, record_bytes=_PICTURE_BYTES, version=VERSION)

    @property
    def missing(self) -> Positions:
        """Which of the clips the index lacks."""
        return self._files.missing

    def add(self, found: pa.Table) -> None:
        """Add what `landmark_rows` gives for clips that it lacks."""
        self._files.add(found)

    def landmarks(self, numbers: Positions) -> Landmarks:
        """Hashes of the clips, which have these numbers. None of them is missing."""
        counts, data = self._files.records()
        return Landmarks(np.repeat(numbers, counts), data.reshape(-1, len(STORED_WINDOWS), HASH_BYTES))


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
    return pa.table({"key": keys_of(store.rows), "records": pa.array(hashes, pa.binary())})


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
