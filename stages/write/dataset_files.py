"""Files of a dataset table: the index of its newest version, files that no row refers to, rows without their files."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

import pyarrow as pa

from stages.errors import ManifestError
from stages.manifest import CommittedFile, ManifestRef, last_commit, load_commit, read_commit, read_row_file
from stages.storage import Storage, map_concurrently
from stages.tasks import Row
from stages.write.index import write_index
from stages.write.paths import PATH_COLUMNS, partition_folder

logger = logging.getLogger(__name__)

VERSIONS_KEPT = 2
"""Number of newest versions whose files are kept: a run that began before the last commit may reuse these files."""


def sync_with_newest_commit(storage: Storage, output: ManifestRef) -> None:
    """Write the index of the newest commit, and remove files that only older versions refer to.

    It repeats until no newer commit appears, so that of two runs at once neither leaves the index of an older commit.
    """
    indexed: int | None = None
    while (newest := last_commit(storage, output)) and newest.number != indexed:
        table = read_commit(storage, output, newest)
        write_index(storage, output, table)
        _remove_unreferenced_files(storage, output, newest.number, _paths_in(table))
        indexed = newest.number


def _remove_unreferenced_files(storage: Storage, output: ManifestRef, newest: int, referenced: set[str]) -> None:
    """Remove files that an older version refers to and none of the last `VERSIONS_KEPT` versions does.

    Files that no version refers to are kept: another run may have written them and not committed yet.
    """
    oldest_kept = max(1, newest - VERSIONS_KEPT + 1)
    present = present_files(storage, output.partition)
    if lost := referenced - present:  # reused by this run, and `VERSIONS_KEPT` versions were committed meanwhile
        logger.warning(
            "%d files of dataset %s were removed by runs at the same time, the first is %s. "
            "The next run of write makes them again.",
            len(lost),
            output.partition,
            min(lost),
        )
    unreferenced = present - referenced
    if unreferenced:
        unreferenced -= _referenced_paths(storage, output, range(oldest_kept, newest))
        for path in sorted(unreferenced & _referenced_paths(storage, output, range(1, oldest_kept))):
            storage.delete(path)


def present_files(storage: Storage, partition: str) -> set[str]:
    """Paths of the partition's files, relative to the root."""
    return {info.path for info in storage.list(partition_folder(partition))}


def stored_rows_with_files(
    output: ManifestRef, stored: Mapping[str, CommittedFile], *, decide: Callable[[Row], Row]
) -> set[str]:
    """The stored row keys whose row, decided with the current parameters, has all files that it needs.

    Args:
        output: the table.
        stored: by row key, the row file with the item's row.
        decide: see `stages.phase.Phase.decide`.
    """
    storage = Storage(output.root)
    by_file: dict[str, tuple[CommittedFile, set[str]]] = {}
    for row_key, entry in stored.items():
        by_file.setdefault(entry.path, (entry, set()))[1].add(row_key)
    present = present_files(storage, output.partition)

    def complete_rows(part: tuple[CommittedFile, set[str]]) -> set[str]:
        entry, row_keys = part
        return {
            row["row_key"]
            for row in read_row_file(storage, output.asset, entry).to_pylist()
            if row["row_key"] in row_keys and _has_files(row if row["status"] == "failed" else decide(row), present)
        }

    return set().union(*map_concurrently(complete_rows, list(by_file.values())))


def _has_files(row: Row, present: set[str]) -> bool:
    if row["status"] != "kept":
        return True
    # Only the preview is optional. A row without a path was rejected before its clip was cut.
    return row["path"] in present and all(row[name] is None or row[name] in present for name in PATH_COLUMNS)


def _referenced_paths(storage: Storage, output: ManifestRef, numbers: range) -> set[str]:
    """Paths in the rows of these versions."""
    paths: set[str] = set()
    for number in numbers:
        with suppress(ManifestError, FileNotFoundError):  # old versions may have been deleted
            for entry in load_commit(storage, output, number).files:
                paths |= _paths_in(read_row_file(storage, output.asset, entry, ["row_key", *PATH_COLUMNS]))
    return paths


def _paths_in(table: pa.Table) -> set[str]:
    return {path for name in PATH_COLUMNS for path in table[name].to_pylist() if path is not None}
