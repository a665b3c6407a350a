"""Reading some columns, and the rows of one partition, from a row file, without the rest of its bytes.

Parquet's checksums cover pages, and the commit holds a hash of the footer. So what is read is whole, though the file's
own hash is not compared.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.storage import Storage

SMALL_BYTES = 256 << 10
"""A file of an object store that is no larger is read whole: each request takes longer than its bytes."""
_MAPPED_BYTES = 256 << 10
"""A local file that is larger is mapped into memory; of a smaller one that takes as long as reading and parsing it."""
_TAIL_BYTES = 8
"""Length of the footer, and the letters PAR1."""


class DamagedFooter(ValueError):
    """The footer of a Parquet file is not the committed one."""


def footer_hash(data: bytes) -> str:
    """Hash of the footer of a Parquet file."""
    return _hash_of_footer(pa.BufferReader(data), len(data))


def can_project(storage: Storage, size_bytes: int) -> bool:
    """True where reading parts of a file of this size is faster than reading all of it."""
    return storage.is_local or size_bytes > SMALL_BYTES


def read_projected(
    storage: Storage, path: str, footer_sha256: str, schema: pa.Schema, partition: str | None = None
) -> pa.Table:
    """The columns of a schema; null where the file was written before the column existed.

    Args:
        storage: of the root.
        path: of the file.
        footer_sha256: hash of its footer.
        schema: of the columns to read.
        partition: the only one of which rows are returned; all where None. The schema has its column.

    Raises:
        FileNotFoundError: the file is not there.
        OSError, ValueError, KeyError, pyarrow.ArrowException: it is damaged.
    """
    with _open(storage, path) as source:
        if _hash_of_footer(source, source.size()) != footer_sha256:
            raise DamagedFooter("the hash of its footer is not the committed one")
        file = pq.ParquetFile(source, page_checksum_verification=True)
        groups = range(file.num_row_groups) if partition is None else _groups_with(file, partition)
        table = file.read_row_groups(groups, schema.names, use_threads=False)
    table = in_schema(table, schema)
    return table if partition is None else table.filter(pc.field("partition") == partition)


def in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of a schema, in their order; null where it lacks one.

    Raises:
        ValueError, pyarrow.ArrowException: a column has values that the schema's type does not take.
    """
    if table.schema.equals(schema):  # as nearly always: a cast takes longer than the reading of a small column
        return table
    names = set(table.column_names)
    for column in schema:
        if column.name not in names:
            table = table.append_column(column, pa.nulls(len(table), column.type))
    return table.select(schema.names).cast(schema)


@contextmanager
def _open(storage: Storage, path: str) -> Iterator[pa.NativeFile]:
    if storage.is_local:
        location = storage.location(path)
        is_small = os.path.getsize(location) <= _MAPPED_BYTES
        with pa.BufferReader(storage.read_bytes(path)) if is_small else pa.memory_map(location) as file:
            yield file
    else:
        with storage.open(path) as remote, pa.PythonFile(remote, mode="r") as file:
            yield file


def _hash_of_footer(file: pa.NativeFile, size: int) -> str:
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    start = size - _TAIL_BYTES - int.from_bytes(tail[:4], "little")
    if start < 0:
        raise DamagedFooter("it is shorter than its footer")
    file.seek(start)
    return hashlib.sha256(file.read(size - start)).hexdigest()


def _groups_with(file: pq.ParquetFile, partition: str) -> Sequence[int]:
    """The row groups that may hold rows of a partition, by their statistics."""
    column = file.metadata.schema.names.index("partition")
    found: list[int] = []
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.min <= partition <= statistics.max:
            found.append(group)
    return found
