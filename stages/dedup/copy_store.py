"""Reads what was recorded of the pictures of clips, and keeps their hashes in files under the root.

    {root}/manifests/signals/...              all that was recorded, a file a video; read for new clips and candidates
    {root}/index/copies/{hash}.parquet        hashes of clips that were looked at before, a row a clip

The files of the index say nothing that signals do not say: where one is lost, signals are read again.
"""

import io
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import Positions
from stages.dedup.arrow import pc
from stages.dedup.copies import ClipHashes, landmarks_of
from stages.dedup.copy_candidates import HASH_BYTES, STORED_WINDOWS, Landmarks
from stages.dedup.copy_columns import COPIES_FOLDER, COPY_COLUMNS
from stages.signals import RecordedPictures, read_pictures, signals_path
from stages.storage import Storage, digest

VERSION = "3"
"""Of the hashes; raised where views or landmarks change."""
FILES_MAX = 24
"""Files of the index from which on they are joined into one."""
HELD_BYTES = 512 * 2**20
"""Of pictures in memory, those of the videos that were asked for last. An hour has 17 MB, one that stands still 50."""


class CopyStore:
    """What was recorded of all clips.

    Args:
        storage: of the root.
        rows: `COPY_COLUMNS` of all clips; only those with a ``signals_key`` are asked for.
    """

    def __init__(self, storage: Storage, rows: pa.Table) -> None:
        self._storage = storage
        columns = {name: rows[name].to_pylist() for name in COPY_COLUMNS}
        self._paths = [
            signals_path(*each)
            for each in zip(columns["partition"], columns["video_id"], columns["signals_key"], strict=True)
        ]
        self._frames = list(zip(columns["start_frame"], columns["end_frame"], strict=True))
        self._spans = list(zip(columns["start_s"], columns["end_s"], strict=True))
        self._videos = _numbers(columns["video_id"])
        self._shots = _numbers(zip(columns["video_id"], columns["shot_start_pts"], strict=True))
        self._keys = [
            f"{key}.{clip_id}" for key, clip_id in zip(columns["signals_key"], columns["clip_id"], strict=True)
        ]
        self._held: OrderedDict[str, RecordedPictures | None] = OrderedDict()
        self._held_bytes = 0

    def clip(self, position: int) -> ClipHashes | None:
        """What was recorded of a clip; None where nothing was."""
        recorded = self._recorded(self._paths[position])
        if recorded is None:
            return None
        start, end = self._frames[position]
        inside = recorded.samples.within(start, end)
        if not len(inside):
            return None
        start_s, end_s = self._spans[position]
        still = recorded.stills.within(start, end)
        return ClipHashes(
            recorded.seconds[inside.frame] - recorded.seconds[start],
            inside["thumbnail"],
            inside["pdq_quality"],
            recorded.seconds[still.frame] - recorded.seconds[start],
            still.values.get("still", np.empty((0, 0), np.uint8)),
            self._videos[position],
            self._shots[position],
            start_s,
            end_s,
        )

    def landmarks(self, positions: Positions) -> Landmarks:
        """Hashes of clips through `STORED_WINDOWS`, from the index; those that it lacks are put there."""
        stored = self._read_index()
        keys = pa.array([self._keys[each] for each in positions.tolist()], pa.string())
        place = pc.index_in(keys, value_set=stored["key"].combine_chunks())
        missing = positions[place.is_null().to_numpy(zero_copy_only=False)]
        if len(missing):
            added = self._hashed(missing)
            self._write_index(stored, added)
            stored = pa.concat_tables([stored, added])
            place = pc.index_in(keys, value_set=stored["key"].combine_chunks())
        hashes = stored["hashes"].take(place).to_pylist()
        sets = [np.frombuffer(each, np.uint8).reshape(-1, len(STORED_WINDOWS), HASH_BYTES) for each in hashes]
        counts = [len(each) for each in sets]
        empty = np.empty((0, len(STORED_WINDOWS), HASH_BYTES), np.uint8)
        return Landmarks(np.repeat(positions, counts), np.concatenate([empty, *sets]))

    def _hashed(self, positions: Positions) -> pa.Table:
        """Rows of the index for clips."""
        rows: list[dict[str, object]] = []
        without = 0
        for position in self.by_video(positions):
            clip = self.clip(position)
            hashes = landmarks_of({0: clip}, STORED_WINDOWS).hashes if clip is not None else np.empty(0, np.uint8)
            without += clip is None
            rows.append({"key": self._keys[position], "hashes": hashes.tobytes()})
            heartbeat.beat()
        heartbeat.count("dedup_clips_without_hashes", without)
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def by_video(self, positions: Positions) -> Sequence[int]:
        """The clips, those of one video together, so that it is read once."""
        return sorted(positions.tolist(), key=lambda each: (self._paths[each], self._frames[each]))

    def _recorded(self, path: str) -> RecordedPictures | None:
        """Of a video; those that were asked for longest ago leave memory."""
        if path in self._held:
            self._held.move_to_end(path)
            return self._held[path]
        recorded = self._held[path] = read_pictures(self._storage, path)
        self._held_bytes += recorded.nbytes if recorded is not None else 0
        while self._held_bytes > HELD_BYTES and len(self._held) > 1:
            gone = self._held.popitem(last=False)[1]
            self._held_bytes -= gone.nbytes if gone is not None else 0
        return recorded

    def _files(self) -> list[str]:
        return [info.path for info in self._storage.list(COPIES_FOLDER) if info.path.endswith(".parquet")]

    def _read_index(self) -> pa.Table:
        tables = [_SCHEMA.empty_table()]
        for path in self._files():
            try:
                table = pq.read_table(io.BytesIO(self._storage.read_bytes(path)), page_checksum_verification=True)
            except (FileNotFoundError, pa.ArrowException, OSError):
                continue  # what it held is hashed again
            if table.schema.equals(_SCHEMA) and (table.schema.metadata or {}).get(b"version") == VERSION.encode():
                tables.append(table)
        return pa.concat_tables(tables)

    def _write_index(self, stored: pa.Table, added: pa.Table) -> None:
        """Add a file; where there are many, one with the rows of all clips that there are, and remove the others."""
        files = self._files()
        if len(files) >= FILES_MAX:
            current = stored.filter(pc.is_in(stored["key"], value_set=pa.array(self._keys, pa.string())))
            added = pa.concat_tables([current, added])
        buffer = io.BytesIO()
        pq.write_table(added.combine_chunks(), buffer, compression="zstd", write_page_checksum=True)
        data = buffer.getvalue()
        self._storage.write_bytes(f"{COPIES_FOLDER}/{digest(data.hex(), length=16)}.parquet", data)
        if len(files) >= FILES_MAX:
            for path in files:
                self._storage.delete(path)


_SCHEMA = pa.schema([("key", pa.string()), ("hashes", pa.binary())], metadata={"version": VERSION})


def _numbers(values: Iterable[object]) -> NDArray[np.int64]:
    """The number of each value among the different ones."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)
