"""Writing row files, each complete or absent, after some items or `FLUSH_S` seconds at the latest."""

import hashlib
import io
import json
import time
import uuid
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest.item_rows import ItemRows, OnUnfit, failure_reasons, table_of_items
from stages.manifest.projected_reading import footer_hash
from stages.manifest.row_files import CommittedFile, ManifestRef
from stages.manifest.tables import layout_of
from stages.storage import Storage

FLUSH_ITEMS = 64
FLUSH_SHARE = 1 / 8
MAX_FLUSH_ITEMS = 1024
MIN_FLUSH_S = 0.1
FLUSH_S = 5.0
"""When a row file is written: after so many items or a share of those written before, not at once; after 5 s at last.

A killed run loses no more than that, and what is being written. Large tables, and those whose items come fast, have few
files so: each takes time when it is written, and whenever the table is read.
"""
MAX_WRITING = 4
"""Row files of one table that are written at the same time, where threads write them."""
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
        threads: write the files, while the caller goes on; the caller itself writes them where none are given.
        on_unfit: gives the rows of an item whose rows do not fit the schema; where it is not given, these are an error.

    Attributes:
        files: written so far, in order; all of them after `finish`.
        decision_key: of all its rows.
    """

    def __init__(
        self,
        storage: Storage,
        ref: ManifestRef,
        *,
        decision_key: str,
        lineage: Mapping[str, Any],
        threads: Executor | None = None,
        on_unfit: OnUnfit | None = None,
    ) -> None:
        self._storage = storage
        self._ref = ref
        self.decision_key = decision_key
        self._lineage = dict(lineage)
        self._writer_id = uuid.uuid4().hex[:12]
        self._schema = layout_of(ref.asset).schema
        self._on_unfit = on_unfit
        self._rows: dict[str, ItemRows] = {}
        self._transient: list[str] = []
        self._failed: dict[str, list[str]] = {}
        self._oldest_row_at = 0.0
        self._threads = threads
        self._writing: deque[Future[CommittedFile]] = deque()
        self._num_files = self._num_written = 0
        self.files: list[CommittedFile] = []

    def append(self, row_key: str, rows: ItemRows, *, is_transient: bool = False) -> None:
        """Add all rows of one item; may write a file. A transient rejection is computed again by the next run."""
        if not len(rows):
            raise ManifestError(f"Item {row_key} of {self._ref.asset} must have at least one row, got none.")
        if not isinstance(rows, list) and rows.schema != self._schema:
            rows = rows.select(self._schema.names).cast(self._schema)
        if not self._rows:
            self._oldest_row_at = time.monotonic()
        self._rows[row_key] = rows
        if is_transient:
            self._transient.append(row_key)
        reasons = failure_reasons(rows)
        if any(reasons):
            self._failed[row_key] = reasons
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the buffered rows if there are enough, or the oldest is `FLUSH_S` old."""
        if not self._rows:
            return
        age_s, count = time.monotonic() - self._oldest_row_at, len(self._rows)
        enough = max(FLUSH_ITEMS, min(MAX_FLUSH_ITEMS, int(self._num_written * FLUSH_SHARE)))
        if age_s >= FLUSH_S or count >= MAX_FLUSH_ITEMS or (count >= enough and age_s >= MIN_FLUSH_S):
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows as one row file, or begin to.

        Raises:
            StorageError: the root does not answer; of a file that threads write, with a later one or in `finish`.
        """
        if not self._rows:
            return
        path = f"{self._ref.folder}/rows-{self._writer_id}-{self._num_files:05d}.parquet"
        entry = CommittedFile(
            path,
            "",
            self.decision_key,
            list(self._rows),
            transient=self._transient,
            failed=self._failed,
            num_items=len(self._rows),
        )
        write = partial(self._write, entry, self._rows)
        self._rows, self._transient, self._failed = {}, [], {}
        self._num_files += 1
        self._num_written += entry.num_items
        if self._threads is None:
            self.files.append(write())
            return
        if len(self._writing) == MAX_WRITING:
            self.files.append(self._writing.popleft().result())
        self._writing.append(self._threads.submit(write))

    def finish(self) -> None:
        """Write the buffered rows, and wait until all files are written.

        Raises:
            StorageError: the root does not answer.
        """
        self.flush()
        while self._writing:
            self.files.append(self._writing.popleft().result())

    def _write(self, entry: CommittedFile, rows: Mapping[str, ItemRows]) -> CommittedFile:
        """Write a row file; returns its entry with what its bytes tell."""
        table, unfit = table_of_items(rows, self._schema, self._on_unfit)
        if unfit:
            reasons = [failure_reasons(table.filter(pc.field("row_key") == row_key)) for row_key in unfit]
            entry = replace(entry, failed={**entry.failed, **dict(zip(unfit, reasons, strict=True))})
        footer = {
            "decision_key": entry.decision_key,
            "items": entry.items,
            "transient": entry.transient,
            "failed": entry.failed,
            "lineage": self._lineage,
        }
        data = encode_rows(table, json.dumps(footer))
        self._storage.write_bytes(entry.path, data)
        sha256, footer_sha256 = hashlib.sha256(data).hexdigest(), footer_hash(data)
        return replace(entry, sha256=sha256, footer_sha256=footer_sha256, size_bytes=len(data))


def encode_rows(table: pa.Table, footer: str) -> bytes:
    """A Parquet file of the rows, whose footer holds a text."""
    buffer = io.BytesIO()
    has_dictionaries = len(table) > MAX_PLAIN_ROWS
    with pq.ParquetWriter(buffer, table.schema, use_dictionary=has_dictionaries, **_FORMAT) as writer:
        writer.write_table(table, max(MIN_GROUP_ROWS, len(table) // MAX_GROUPS))
        writer.add_key_value_metadata({"curator": footer})
    return buffer.getvalue()
