"""Bytes by key, in files of a folder under the root that are joined as they become many.

    {folder}/{hash of what it holds}.parquet     a row a key

They are an index: where a file is lost or damaged, what it held is missing, and is made again.
"""

import hashlib
import io
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.arrays import Positions
from stages.dedup.arrow import pc
from stages.storage import Storage

FILES_MAX = 24
"""Files from which on they are joined into one."""


class Records(NamedTuple):
    """Records of many keys, one key after another.

    Attributes:
        counts: int64 ``[K]``, records of each key.
        data: uint8 ``[N, R]``, of all.
    """

    counts: NDArray[np.int64]
    data: NDArray[np.uint8]


class KeyedFiles:
    """What a folder holds of some keys: of each, records of one size, maybe none.

    Args:
        storage: of the root.
        folder: below the root; what lies in folders inside is not looked at.
        keys: string, that are asked for, each once. Rows of others leave where files are joined.
        record_bytes: size of a record.
        version: of the records; files of another are passed over.
    """

    def __init__(self, storage: Storage, folder: str, keys: pa.Array, *, record_bytes: int, version: str) -> None:
        self._storage = storage
        self._folder = folder
        self._keys = keys
        self._record_bytes = record_bytes
        self._schema = pa.schema([("key", pa.string()), ("records", pa.binary())], metadata={"version": version})

    @property
    def missing(self) -> Positions:
        """Positions of the keys of which there is nothing."""
        return np.flatnonzero(self._place.is_null().to_numpy(zero_copy_only=False))

    def add(self, found: pa.Table) -> None:
        """Add rows of ``key`` and ``records``, of keys that are missing."""
        self._write(found)
        self._stored = pa.concat_tables([self._stored, found.cast(self._schema)])
        del self._place

    def records(self) -> Records:
        """The records of the keys, of which none is missing."""
        place = self._place.to_numpy()
        column = self._stored["records"]
        lengths = pc.binary_length(column).to_numpy() // self._record_bytes
        counts = lengths[place].astype(np.int64)
        ends = np.cumsum(counts)
        data = np.empty((int(ends[-1]) if len(ends) else 0, self._record_bytes), np.uint8)
        first = 0
        for chunk in column.chunks:  # so that there is one more copy of a part, and not of all
            here = np.flatnonzero((place >= first) & (place < first + len(chunk)))
            begins = np.frombuffer(chunk.buffers()[1], np.int32, len(chunk), 4 * chunk.offset) // self._record_bytes
            source = np.frombuffer(chunk.buffers()[2] or b"", np.uint8)
            source = source[: len(source) // self._record_bytes * self._record_bytes].reshape(-1, self._record_bytes)
            data[_ranges((ends - counts)[here], counts[here])] = source[
                _ranges(begins[place[here] - first], counts[here])
            ]
            first += len(chunk)
            heartbeat.beat()
        return Records(counts, data)

    @cached_property
    def _place(self) -> pa.Array:
        """Of each key, its row in what is stored; null where it has none."""
        return pc.index_in(self._keys, value_set=self._stored["key"].combine_chunks())

    @cached_property
    def _stored(self) -> pa.Table:
        tables = [self._schema.empty_table()]
        for path in self._paths():
            try:
                table = pq.read_table(io.BytesIO(self._storage.read_bytes(path)), page_checksum_verification=True)
            except (FileNotFoundError, pa.ArrowException, OSError):
                continue  # what it held is made again
            if table.schema.equals(self._schema, check_metadata=True):
                tables.append(table)
            heartbeat.beat()
        return pa.concat_tables(tables)

    def _paths(self) -> list[str]:
        paths = [info.path for info in self._storage.list(self._folder)]
        return [path for path in paths if path.endswith(".parquet") and path.count("/") == self._folder.count("/") + 1]

    def _write(self, added: pa.Table) -> None:
        """Add a file; where there are many, one with the rows of all keys that are asked for, and remove the others."""
        paths = self._paths()
        if len(paths) >= FILES_MAX:
            current = self._stored.filter(pc.is_in(self._stored["key"], value_set=self._keys))
            added = pa.concat_tables([current, added.cast(self._schema)])
        buffer = io.BytesIO()
        table = added.cast(self._schema).combine_chunks()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        data = buffer.getvalue()
        self._storage.write_bytes(f"{self._folder}/{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
        if len(paths) >= FILES_MAX:
            for path in paths:
                self._storage.delete(path)


def _ranges(begins: NDArray[np.integer], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of ranges that begin there, one range after another."""
    return np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
