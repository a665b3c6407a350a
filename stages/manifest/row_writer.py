"""Writing row files, each complete or absent, after `FLUSH_ITEMS` items or `FLUSH_S` seconds at the latest."""

import hashlib
import io
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest.projected_reading import footer_hash
from stages.manifest.row_files import CommittedFile, ManifestRef
from stages.manifest.tables import layout_of
from stages.storage import Storage
from stages.tasks import Row

FLUSH_ITEMS = 64
FLUSH_S = 5.0
"""A row file is written after so many items or seconds; a killed run loses no more than that."""
MIN_GROUP_ROWS = 4096
MAX_GROUPS = 256
"""Bounds of row groups: so that who wants the rows of one partition reads few others, and not too long a footer."""
MAX_PLAIN_ROWS = 1024
"""Columns of a file of more rows are written with dictionaries."""
_FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "write_page_checksum": True,
    "write_statistics": ["partition"],
    "store_schema": False,
}
"""Of the few rows of most files statistics, dictionaries and the text of the schema would take more than half of the
bytes, and of the time of their reader."""


class RowWriter:
    """Collects the rows of finished items and writes them as row files; all rows of an item are in one file.

    Args:
        storage: of the root.
        ref: the table.
        decision_key: of all rows that are appended.
        lineage: stored in the footer of each file.

    Attributes:
        files: written so far.
        decision_key: of all its rows.
    """

    def __init__(self, storage: Storage, ref: ManifestRef, *, decision_key: str, lineage: Mapping[str, Any]) -> None:
        self._storage = storage
        self._ref = ref
        self.decision_key = decision_key
        self._lineage = dict(lineage)
        self._writer_id = uuid.uuid4().hex[:12]
        self._tables: list[pa.Table] = []
        self._items: list[str] = []
        self._transient: list[str] = []
        self._failed: dict[str, list[str]] = {}
        self._oldest_row_at = 0.0
        self.files: list[CommittedFile] = []

    def append(self, row_key: str, rows: list[Row] | pa.Table, *, is_transient: bool = False) -> None:
        """Add all rows of one item; may write a file. A transient rejection is computed again by the next run."""
        schema = layout_of(self._ref.asset).schema
        table = pa.Table.from_pylist(rows, schema=schema) if isinstance(rows, list) else rows
        if not len(table):
            raise ManifestError(f"Item {row_key} of {self._ref.asset} must have at least one row, got none.")
        if not self._items:
            self._oldest_row_at = time.monotonic()
        self._tables.append(table if table.schema == schema else table.select(schema.names).cast(schema))
        self._items.append(row_key)
        if is_transient:
            self._transient.append(row_key)
        reasons = failure_reasons(table)
        if any(reasons):
            self._failed[row_key] = reasons
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the buffered rows if there are `FLUSH_ITEMS` items or the oldest row is `FLUSH_S` old."""
        if self._items and (len(self._items) >= FLUSH_ITEMS or time.monotonic() - self._oldest_row_at >= FLUSH_S):
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows as one row file."""
        if not self._items:
            return
        footer = {
            "decision_key": self.decision_key,
            "items": self._items,
            "transient": self._transient,
            "failed": self._failed,
            "lineage": self._lineage,
        }
        data = _parquet(pa.concat_tables(self._tables), json.dumps(footer))
        path = f"{self._ref.folder}/rows-{self._writer_id}-{len(self.files):05d}.parquet"
        self._storage.write_bytes(path, data)
        self.files.append(
            CommittedFile(
                path,
                hashlib.sha256(data).hexdigest(),
                self.decision_key,
                self._items,
                transient=self._transient,
                failed=self._failed,
                size_bytes=len(data),
                num_items=len(self._items),
                footer_sha256=footer_hash(data),
            )
        )
        self._tables, self._items, self._transient, self._failed = [], [], [], {}


def _parquet(table: pa.Table, footer: str) -> bytes:
    """A Parquet file of the rows, whose footer holds a text."""
    buffer = io.BytesIO()
    has_dictionaries = len(table) > MAX_PLAIN_ROWS
    with pq.ParquetWriter(buffer, table.schema, use_dictionary=has_dictionaries, **_FORMAT) as writer:
        writer.write_table(table, max(MIN_GROUP_ROWS, len(table) // MAX_GROUPS))
        writer.add_key_value_metadata({"curator": footer})
    return buffer.getvalue()


def failure_reasons(table: pa.Table) -> list[str]:
    """For each row, in order, the reason of its failure; empty where it did not fail."""
    outcomes = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
    return [str(reason) if status == "failed" else "" for status, reason in outcomes]
