"""Members files: the source videos of a partition, written once and never changed.

{root}/partitions/{partition}.parquet             the first members
{root}/partitions/{partition}.{added}.parquet     later ones, of a partition whose key was given: a day, an hour
"""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest import DAMAGE
from stages.schemas import PARTITION_SCHEMA
from stages.sources.listing import Source
from stages.storage import Storage


def members_path(partition: str, added: str | None) -> str:
    """Where members lie, below the root: the first ones, or those of one addition."""
    return f"partitions/{partition}.{added}.parquet" if added else f"partitions/{partition}.parquet"


def read_members_file(storage: Storage, path: str) -> pa.Table:
    """The sources in one members file, with the columns of `PARTITION_SCHEMA`.

    Raises:
        ManifestError: it is missing or damaged.
    """
    cure = (
        "Restore it from a copy, or delete it together with its entry in partitions/_order; the next `curator run` "
        "registers its sources again."
    )
    try:
        data = storage.read_bytes(path)
    except FileNotFoundError as error:
        raise ManifestError(f"{storage.location(path)} must be there, since partitions are. {cure}") from error
    try:
        # Arrow's threads that still read a Python file object abort a process that ends right then.
        return (
            pq.ParquetFile(pa.BufferReader(data))
            .read(PARTITION_SCHEMA.names, use_threads=False)
            .select(PARTITION_SCHEMA.names)
        )
    except DAMAGE as error:
        raise ManifestError(f"{storage.location(path)} is damaged: {error}. {cure}") from error


def create_members_file(storage: Storage, path: str, members: Sequence[Source]) -> pa.Table:
    """The members are there, or were; returns those that the file holds.

    A process that died before it registered them may have left others under a given key.
    """
    rows = [
        {"uri": source.uri, "video_id": source.video_id, "etag": source.etag, "size_bytes": source.size_bytes}
        for source in members
    ]
    table, buffer = pa.Table.from_pylist(rows, schema=PARTITION_SCHEMA), io.BytesIO()
    pq.write_table(table, buffer)
    return table if storage.create_bytes(path, buffer.getvalue()) else read_members_file(storage, path)
