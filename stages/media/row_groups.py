"""Row groups of one Parquet file, fetched by byte ranges and parsed from memory.

The bytes of a range are fetched before Arrow parses them: Arrow raises an OSError for damaged pages, as a failing disk
does, and only damaged pages may lead to a rebuilt file.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import CurationError, Reason, StageError
from stages.storage import FileReplaced

TAIL_BYTES = 128 << 10
"""Size of the first fetch; the footer of some 200 row groups fits into it."""

_TRAILER_BYTES = 8
"""Bytes after the footer: its length and the magic number."""

_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError, OverflowError)


class StoreDamaged(CurationError):
    """The bytes are not Parquet, or contradict the footer."""


class StoreReplaced(CurationError):
    """The file was replaced since it was opened: discard what was read, and open it again."""


class _FileRange(io.RawIOBase):
    """One byte range of a file, addressed by its offsets in the file."""

    def __init__(self, start: int, data: bytes) -> None:
        self._start = start
        self._data = memoryview(data)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._start + len(self._data)}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override]  # typeshed's Buffer is of Python 3.12
        if self._position < self._start:
            raise OSError(f"the pages must begin at {self._start} or behind it, got {self._position}")
        found = self._data[self._position - self._start :][: len(buffer)]
        buffer[: len(found)] = found
        self._position += len(found)
        return len(found)


class RowGroups:
    """The row groups of one file.

    Args:
        handle: the file; not closed here.
        location: of the file, for messages.
        columns: the columns that it must have.

    Attributes:
        metadata: the parsed footer.

    Raises:
        StoreDamaged, StoreReplaced: see there; also from the methods.
        StageError: the disk or the object store cannot read it; transient. Also from the methods.
        StorageError: the object store does not answer. Also from the methods.
    """

    def __init__(self, handle: IO[bytes], location: str, columns: Sequence[str]) -> None:
        self._handle = handle
        self._location = location
        with convert_read_errors(location):
            self._size = handle.seek(0, io.SEEK_END)
        self.metadata = self._footer()
        with _convert_parse_errors(location):
            names = self.metadata.schema.names
            self._column_indices = {name: names.index(name) for name in columns}

    def num_rows(self, group: int) -> int:
        """Rows of one row group."""
        with _convert_parse_errors(self._location):
            number = self.metadata.row_group(group).num_rows
        if number < 0:
            raise self._damaged(f"row group {group} has {number} rows")
        return number

    def size_bytes(self, group: int, columns: Sequence[str]) -> int:
        """Number of bytes that `read` fetches for these columns of one row group."""
        start, end = self._range(group, columns)
        return end - start

    def limits(self, group: int, column: str) -> tuple[int, int] | None:
        """Smallest and largest value of an integer column; None where the file has no statistics."""
        with _convert_parse_errors(self._location):
            statistics = self.metadata.row_group(group).column(self._column_indices[column]).statistics
            if statistics is None or not statistics.has_min_max:
                return None
            return int(statistics.min), int(statistics.max)

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> list[pa.Table]:
        """Read these columns of consecutive row groups by one fetched range; one table each."""
        ranges = [self._range(group, columns) for group in groups]
        start = min(first for first, _ in ranges)
        part = _FileRange(start, self._fetch(start, max(end for _, end in ranges)))
        with _convert_parse_errors(self._location):
            file = pq.ParquetFile(part, metadata=self.metadata)
            tables = [file.read_row_group(group, list(columns), use_threads=False) for group in groups]
        for group, table in zip(groups, tables, strict=True):
            if len(table) != self.metadata.row_group(group).num_rows or any(column.null_count for column in table):
                raise self._damaged(f"row group {group} is incomplete")
        return tables

    def _footer(self) -> pq.FileMetaData:
        tail = self._fetch(max(0, self._size - TAIL_BYTES), self._size)
        length = int.from_bytes(tail[-_TRAILER_BYTES:-4], "little") + _TRAILER_BYTES
        if len(tail) < length <= self._size:
            tail = self._fetch(self._size - length, self._size)
        with _convert_parse_errors(self._location):
            return pq.read_metadata(pa.BufferReader(tail))

    def _range(self, group: int, columns: Sequence[str]) -> tuple[int, int]:
        """Byte range of the pages of the columns, including bytes between them."""
        with _convert_parse_errors(self._location):
            row_group = self.metadata.row_group(group)
            chunks = [row_group.column(self._column_indices[name]) for name in columns]
            # A chunk without a dictionary has no dictionary offset, or the offset 0.
            starts = [
                min(each.data_page_offset, each.dictionary_page_offset or each.data_page_offset) for each in chunks
            ]
            ends = [start + each.total_compressed_size for start, each in zip(starts, chunks, strict=True)]
        if not 0 <= min(starts) < max(ends) <= self._size:
            raise self._damaged(f"row group {group} must lie within {self._size} bytes")
        return min(starts), max(ends)

    def _fetch(self, start: int, end: int) -> bytes:
        with convert_read_errors(self._location):
            self._handle.seek(start)
            data = self._handle.read(end - start)
        if len(data) != end - start:
            raise self._damaged(f"{end - start} bytes from {start} must be there, got {len(data)}")
        return data

    def _damaged(self, what: str) -> StoreDamaged:
        return StoreDamaged(f"{self._location}: {what}.")


@contextlib.contextmanager
def convert_read_errors(location: str) -> Iterator[None]:
    """Convert errors of the disk or the object store to errors of the task; a missing file's is raised unchanged."""
    try:
        yield
    except FileNotFoundError:
        raise
    except FileReplaced as error:
        raise StoreReplaced(f"The frame store was replaced while it was read: {location}.") from error
    except OSError as error:
        raise StageError(
            f"The frame store must be readable, got {error}: {location}. Check the disk or the object "
            "store that holds it; the next run tries again.",
            Reason.STORAGE,
        ) from error


@contextlib.contextmanager
def _convert_parse_errors(location: str) -> Iterator[None]:
    """Convert Arrow's errors to `StoreDamaged`. The block must parse bytes in memory only, and read no file."""
    try:
        yield
    except _DAMAGE as error:
        raise StoreDamaged(f"{location}: {error}") from error
