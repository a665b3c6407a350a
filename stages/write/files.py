"""What hangs on a whole table of the dataset: its index, and files that no row names any more."""

import io
from collections.abc import Callable
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import ManifestError
from stages.manifest import ManifestRef, last_commit, load_commit
from stages.row_files import CommittedFile, ItemKey, read_rows, stored_items
from stages.storage import Storage
from stages.tasks import Row
from stages.write.paths import PATH_COLUMNS, folder, index_path


def write_index(storage: Storage, partition: str, table: pa.Table) -> None:
    """The kept rows of the table stand, with all columns, in one Parquet file that appears whole."""
    buffer = io.BytesIO()
    pq.write_table(table.filter(pc.field("status") == "kept"), buffer, compression="zstd")
    storage.write_bytes(index_path(partition), buffer.getvalue())


def remove_former_files(storage: Storage, output: ManifestRef, table: pa.Table) -> None:
    """Files that an earlier version of the table named and this one does not are gone.

    What no version names stays: another run may have written it and not committed yet.
    """
    named = _paths(table.filter(pc.field("status") == "kept"))
    unnamed = present_files(storage, output.partition) - named
    if unnamed:
        for path in unnamed & _formerly_named(storage, output):
            storage.delete(path)


def present_files(storage: Storage, partition: str) -> set[str]:
    """Paths of the partition's files, below the root."""
    return {info.path for info in storage.list(folder(partition))}


def stored_rows_with_files(
    output: ManifestRef, stored: set[str], *, decision_key: str, decide: Callable[[Row], Row]
) -> set[str]:
    """Of the stored row keys, those whose row, decided as now, has all the files that it needs.

    Args:
        output: the table.
        stored: row keys that have rows.
        decision_key: of the decisions that hold now; such a row is taken before one that was decided otherwise.
        decide: see `stages.phase.Phase.decide`.
    """
    storage = Storage(output.root)
    items = stored_items(storage, output)
    by_file: dict[str, tuple[CommittedFile, set[str]]] = {}
    for row_key in stored:
        entry = items.decided.get(ItemKey(row_key, decision_key)) or items.worked[row_key]
        by_file.setdefault(entry.path, (entry, set()))[1].add(row_key)
    present = present_files(storage, output.partition)
    return {
        row["row_key"]
        for entry, row_keys in by_file.values()
        for row in read_rows(storage, output.asset, entry).to_pylist()
        if row["row_key"] in row_keys and _has_files(row if row["status"] == "failed" else decide(row), present)
    }


def _has_files(row: Row, present: set[str]) -> bool:
    if row["status"] != "kept":
        return True
    # Only a preview may be lacking by request. A row without a path was rejected before it was cut.
    return row["path"] in present and all(row[name] is None or row[name] in present for name in PATH_COLUMNS)


def _formerly_named(storage: Storage, output: ManifestRef) -> set[str]:
    newest = last_commit(storage, output)
    named: set[str] = set()
    for number in range(1, newest.number if newest else 1):
        with suppress(ManifestError, FileNotFoundError):  # somebody has cleared away old versions
            for entry in load_commit(storage, output, number).files:
                named |= _paths(read_rows(storage, output.asset, entry, ["row_key", *PATH_COLUMNS]))
    return named


def _paths(table: pa.Table) -> set[str]:
    return {path for name in PATH_COLUMNS for path in table[name].to_pylist() if path is not None}
