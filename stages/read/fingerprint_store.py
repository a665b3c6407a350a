"""Fingerprints of videos under the root, so that no source is read for them twice.

    {root}/fingerprints/{hash of its content}.parquet     video_id, sample, sha256

A video id stands for one content, so a fingerprint never changes, and files may be merged or written twice. They are a
cache: one that is damaged or deleted is made anew. Only sources that share their size with another have any.
"""

import hashlib
import io
import logging
import time
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from stages.manifest import DAMAGED_FILE_ERRORS
from stages.read.fingerprints import Fingerprint
from stages.storage import Storage, map_concurrently

logger = logging.getLogger(__name__)

FOLDER = "fingerprints"

MAX_FILES = 64
"""Files are merged into one where there are more: all are read before anything is compared."""

_FLUSH_VIDEOS = 1_000
_FLUSH_S = 5.0
"""A file is written after so many videos or seconds; a killed run loses no more than that."""

_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("video_id", "sample", "sha256")])


class FingerprintStore:
    """The fingerprints of a root. Any number of processes may add some at the same time.

    Attributes:
        known: by video id; read at the first access.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._files: list[str] = []
        self._known: dict[str, Fingerprint] | None = None
        self._pending: dict[str, Fingerprint] = {}
        self._oldest_at = 0.0

    @property
    def known(self) -> dict[str, Fingerprint]:
        """Fingerprints by video id."""
        if self._known is None:
            self._known = {}
            for path, found in _read_all(self._storage):
                self._files.append(path)
                for name, each in found.items():
                    if each.sha256 or name not in self._known:
                        self._known[name] = each
        return self._known

    def add(self, video_id: str, fingerprint: Fingerprint) -> None:
        """Add the fingerprint of a video; may write a file."""
        if not self._pending:
            self._oldest_at = time.monotonic()
        self.known[video_id] = self._pending[video_id] = fingerprint
        if len(self._pending) >= _FLUSH_VIDEOS or time.monotonic() - self._oldest_at >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was added since the last time."""
        if not self._pending:
            return
        merged = list(self._files) if len(self._files) >= MAX_FILES else []
        path = _write(self._storage, self.known if merged else self._pending)
        self._files = [each for each in self._files if each not in merged] + [path]
        for each in merged:
            if each != path:
                self._storage.delete(each)
        self._pending = {}


def erase_fingerprints(storage: Storage, video_ids: Collection[str]) -> None:
    """Remove the fingerprints of these videos from all files. Damaged files, which may hold some, go too."""
    for path, found in _read_all(storage):
        others = {name: each for name, each in found.items() if name not in video_ids}
        if len(others) < len(found) or not found:
            if others:
                _write(storage, others)
            storage.delete(path)


def _read_all(storage: Storage) -> Iterator[tuple[str, dict[str, Fingerprint]]]:
    """Path and content of each file, without content where it is damaged."""
    while True:
        paths = [info.path for info in storage.list(FOLDER) if info.path.endswith(".parquet")]
        contents = map_concurrently(lambda path: _read(storage, path), paths)
        if None not in contents:  # else another process has merged one meanwhile
            break
    yield from ((path, found) for path, found in zip(paths, contents, strict=True) if found is not None)


def _read(storage: Storage, path: str) -> dict[str, Fingerprint] | None:
    """Content of a file; None where it is gone, nothing where it is damaged."""
    try:
        data = storage.read_bytes(path)
    except FileNotFoundError:
        return None
    try:
        if _name_of(data) != path.rpartition("/")[2]:
            raise ValueError("its bytes are not those that were written")
        columns = pq.ParquetFile(pa.BufferReader(data)).read(_SCHEMA.names, use_threads=False).to_pydict()
    except DAMAGED_FILE_ERRORS as error:
        logger.warning("%s is damaged and is passed over: %s.", storage.location(path), error)
        return {}
    values = zip(columns["sample"], columns["sha256"], strict=True)
    return {name: Fingerprint(*each) for name, each in zip(columns["video_id"], values, strict=True)}


def _write(storage: Storage, fingerprints: dict[str, Fingerprint]) -> str:
    rows = [
        {"video_id": name, "sample": each.sample, "sha256": each.sha256} for name, each in sorted(fingerprints.items())
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), buffer, compression="zstd")
    path = f"{FOLDER}/{_name_of(buffer.getvalue())}"
    storage.write_bytes(path, buffer.getvalue())
    return path


def _name_of(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()[:20]}.parquet"
