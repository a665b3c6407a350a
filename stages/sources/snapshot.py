"""Snapshots of the register: all entries up to a number with their members, in one file instead of two for each entry.

    {root}/partitions/_order/upto-{n}.{hash of the file}.parquet

Snapshots are a cache and may be deleted. One that is damaged, or was made from another log than the present one (an
entry was deleted by hand, the root was copied), is ignored.
"""

import hashlib
import io
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from stages.manifest import DAMAGED_FILE_ERRORS
from stages.sources.register_log import ENTRY_ROWS_SCHEMA, LOG_FOLDER, LogListing
from stages.storage import Storage

logger = logging.getLogger(__name__)

_MAX_SNAPSHOTS = 2
"""Snapshots that are kept: a reader may have listed the last but one."""


@dataclass(frozen=True)
class Snapshot:
    """All entries up to a number.

    Attributes:
        number: of the last entry.
        rows: in the order of the log, with the requested columns of `ENTRY_ROWS_SCHEMA`.
    """

    number: int
    rows: pa.Table


def read_newest_snapshot(storage: Storage, listing: LogListing, columns: list[str] | None = None) -> Snapshot:
    """Read the newest snapshot of this log, with all or some columns; a snapshot of no entries where there is none."""
    for path, number in listing.snapshots.items():
        rows = _read_snapshot(storage, path, listing.digest(number), columns)
        if rows is not None:
            return Snapshot(number, rows)
    return Snapshot(0, ENTRY_ROWS_SCHEMA.empty_table().select(columns or ENTRY_ROWS_SCHEMA.names))


def _read_snapshot(storage: Storage, path: str, log_digest: str, columns: list[str] | None) -> pa.Table | None:
    try:
        data = storage.read_bytes(path)
    except FileNotFoundError:  # a newer one replaced it
        return None
    if _hash(data) != path.split(".")[-2]:
        logger.warning("%s is damaged; it is passed over and made anew later.", storage.location(path))
        return None
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema, rows = file.schema_arrow, file.read(columns, use_threads=False)
    except DAMAGED_FILE_ERRORS as error:
        logger.warning("%s cannot be read and is passed over: %s.", storage.location(path), error)
        return None
    if (schema.metadata or {}).get(b"log") != log_digest.encode() or not schema.equals(ENTRY_ROWS_SCHEMA):
        logger.info("%s is of another log, or of another version, and is passed over.", storage.location(path))
        return None
    return rows.replace_schema_metadata()


def without_sources(rows: pa.Table, is_forgotten: Callable[[str], bool]) -> pa.Table:
    """Rows of entries, with nothing but the partition where the source was forgotten after it was registered."""
    known = [uri is None or not is_forgotten(uri) for uri in rows["uri"].to_pylist()]
    if all(known):
        return rows
    for name in ("uri", "video_id", "size_bytes"):
        field = rows.schema.field(name)
        values = [value if kept else None for value, kept in zip(rows[name].to_pylist(), known, strict=True)]
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return rows


def write_snapshot(storage: Storage, listing: LogListing, snapshot: Snapshot) -> None:
    """Write the snapshot, and delete all older ones but the last."""
    buffer = io.BytesIO()
    table = snapshot.rows.replace_schema_metadata({"log": listing.digest(snapshot.number)})
    pq.write_table(table, buffer, compression="zstd")
    path = f"{LOG_FOLDER}/upto-{snapshot.number}.{_hash(buffer.getvalue())}.parquet"
    storage.write_bytes(path, buffer.getvalue())
    older = [each for each, number in listing.snapshots.items() if number < snapshot.number]
    for each in itertools.islice(older, _MAX_SNAPSHOTS - 1, None):
        storage.delete(each)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
