"""What hangs on a whole table of the dataset: its index, and files that no row names any more."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

import pyarrow as pa

from stages.errors import ManifestError
from stages.manifest import CommittedFile, ManifestRef, last_commit, load_commit, read_commit_rows, read_row_file
from stages.storage import Storage, map_concurrently
from stages.tasks import Row
from stages.write.index import write_index
from stages.write.paths import PATH_COLUMNS, folder

logger = logging.getLogger(__name__)

VERSIONS_KEPT = 2
"""Files of so many newest versions stay: a run that began before the newest was committed may take them over."""


def finish_newest(storage: Storage, output: ManifestRef) -> None:
    """The index is that of the newest version, and files that only old versions name are gone.

    Of two runs at once the later writer looks again, so that neither leaves the index of a version that is not the
    newest.
    """
    indexed: int | None = None
    while (newest := last_commit(storage, output)) and newest.number != indexed:
        table = read_commit_rows(storage, output, newest)
        write_index(storage, output, table)
        _remove_former_files(storage, output, newest.number, _paths(table))
        indexed = newest.number


def _remove_former_files(storage: Storage, output: ManifestRef, newest: int, named: set[str]) -> None:
    """Files that a version named and none of the last `VERSIONS_KEPT` names are gone.

    What no version names stays: another run may have written it and not committed yet.
    """
    oldest_kept = max(1, newest - VERSIONS_KEPT + 1)
    present = present_files(storage, output.partition)
    if lost := named - present:  # this run took them over, and `VERSIONS_KEPT` others were committed meanwhile
        logger.warning(
            "%d files of dataset %s were removed by runs at the same time, the first is %s. "
            "The next run of write makes them again.",
            len(lost),
            output.partition,
            min(lost),
        )
    unnamed = present - named
    if unnamed:
        unnamed -= _named(storage, output, range(oldest_kept, newest))
        for path in sorted(unnamed & _named(storage, output, range(1, oldest_kept))):
            storage.delete(path)


def present_files(storage: Storage, partition: str) -> set[str]:
    """Paths of the partition's files, below the root."""
    return {info.path for info in storage.list(folder(partition))}


def stored_rows_with_files(
    output: ManifestRef, stored: Mapping[str, CommittedFile], *, decide: Callable[[Row], Row]
) -> set[str]:
    """Of the stored row keys, those whose row, decided as now, has all the files that it needs.

    Args:
        output: the table.
        stored: by row key, the file whose row counts.
        decide: see `stages.phase.Phase.decide`.
    """
    storage = Storage(output.root)
    by_file: dict[str, tuple[CommittedFile, set[str]]] = {}
    for row_key, entry in stored.items():
        by_file.setdefault(entry.path, (entry, set()))[1].add(row_key)
    present = present_files(storage, output.partition)

    def with_files(part: tuple[CommittedFile, set[str]]) -> set[str]:
        entry, row_keys = part
        return {
            row["row_key"]
            for row in read_row_file(storage, output.asset, entry).to_pylist()
            if row["row_key"] in row_keys and _has_files(row if row["status"] == "failed" else decide(row), present)
        }

    return set().union(*map_concurrently(with_files, list(by_file.values())))


def _has_files(row: Row, present: set[str]) -> bool:
    if row["status"] != "kept":
        return True
    # Only a preview may be lacking by request. A row without a path was rejected before it was cut.
    return row["path"] in present and all(row[name] is None or row[name] in present for name in PATH_COLUMNS)


def _named(storage: Storage, output: ManifestRef, numbers: range) -> set[str]:
    """Paths in the rows of some versions."""
    named: set[str] = set()
    for number in numbers:
        with suppress(ManifestError, FileNotFoundError):  # somebody has cleared away old versions
            for entry in load_commit(storage, output, number).files:
                named |= _paths(read_row_file(storage, output.asset, entry, ["row_key", *PATH_COLUMNS]))
    return named


def _paths(table: pa.Table) -> set[str]:
    return {path for name in PATH_COLUMNS for path in table[name].to_pylist() if path is not None}
