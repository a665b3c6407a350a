"""Members files: the source videos of a partition, written once and never changed, but to erase a source.

{root}/partitions/{partition}.parquet             the first members
{root}/partitions/{partition}.{added}.parquet     members added later to the partition of a day or an hour
"""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest import DAMAGED_FILE_ERRORS
from stages.schemas import PARTITION_SCHEMA
from stages.sources.source_listing import Source
from stages.storage import Storage


def members_path(partition: str, added: str | None) -> str:
    """Path of a members file below the root: of the first members, or of one addition."""
    return f"partitions/{partition}.{added}.parquet" if added else f"partitions/{partition}.parquet"


def read_members_file(storage: Storage, path: str) -> pa.Table:
    """Read the sources in one members file, with the columns of `PARTITION_SCHEMA`.

    Raises:
        ManifestError: it is missing or damaged.
    """
    hint = (
        "Restore it from a copy, or delete it together with its entry in partitions/_order; the next `curator run` "
        "registers its sources again."
    )
    try:
        data = storage.read_bytes(path)
    except FileNotFoundError as error:
        raise ManifestError(f"{storage.location(path)} must be there, since partitions are. {hint}") from error
    try:
        # A process that exits while Arrow's threads read a Python file object is aborted.
        table = pq.ParquetFile(pa.BufferReader(data)).read(PARTITION_SCHEMA.names, use_threads=False)
        if "modified_s" not in table.schema.names:  # written by an earlier release
            table = table.append_column("modified_s", pa.nulls(len(table), pa.float64()))
        return table.select(PARTITION_SCHEMA.names)
    except DAMAGED_FILE_ERRORS as error:
        raise ManifestError(f"{storage.location(path)} is damaged: {error}. {hint}") from error


def create_members_file(storage: Storage, path: str, members: Sequence[Source]) -> pa.Table:
    """Write a members file unless it exists; return the members that the file then holds.

    A process that died before it registered its members may have left others under the same path.
    """
    rows = [
        {
            "uri": source.uri,
            "video_id": source.video_id,
            "etag": source.etag,
            "size_bytes": source.size_bytes,
            "modified_s": source.modified,
        }
        for source in members
    ]
    table = pa.Table.from_pylist(rows, schema=PARTITION_SCHEMA)
    return table if storage.create_bytes(path, _serialize(table)) else read_members_file(storage, path)


def write_members_file(storage: Storage, path: str, members: pa.Table) -> None:
    """Replace a members file."""
    storage.write_bytes(path, _serialize(members))


def _serialize(members: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(members, buffer)
    return buffer.getvalue()
