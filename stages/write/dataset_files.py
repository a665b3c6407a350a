"""Finds the rows of a dataset table whose files exist."""

from collections.abc import Callable, Collection, Mapping

from stages.manifest import CommittedFile, ManifestRef, read_row_file
from stages.storage import Storage, map_concurrently
from stages.tasks import Row
from stages.write.file_columns import MEDIA_COLUMNS
from stages.write.paths import DATASET_FOLDER, FORMER_FOLDER, PATH_COLUMNS
from stages.write.publishing import present_files


def stored_rows_with_files(
    output: ManifestRef, stored: Mapping[str, CommittedFile], *, decide: Callable[[Row], Row]
) -> set[str]:
    """The stored row keys whose row, decided with the current parameters, has all files that it needs.

    A row from before paths were relative to ``dataset/`` has none: it is made again, from the files that are there.

    Args:
        output: the table.
        stored: by row key, the row file with the item's row.
        decide: see `stages.phase.Phase.decide`.
    """
    storage = Storage(output.root)
    by_file: dict[str, tuple[CommittedFile, set[str]]] = {}
    for row_key, entry in stored.items():
        by_file.setdefault(entry.path, (entry, set()))[1].add(row_key)
    present = present_files(storage, output.partition, DATASET_FOLDER)
    present |= present_files(storage, output.partition, FORMER_FOLDER)

    def complete_rows(part: tuple[CommittedFile, set[str]]) -> set[str]:
        entry, row_keys = part
        return {
            row["row_key"]
            for row in read_row_file(storage, output.asset, entry).to_pylist()
            if row["row_key"] in row_keys and _has_files(row if row["status"] == "failed" else decide(row), present)
        }

    return set().union(*map_concurrently(complete_rows, list(by_file.values())))


def read_known_media(output: ManifestRef, files: Collection[CommittedFile]) -> dict[str, Row]:
    """By path of a clip's file, what rows of the table tell of it. Rows of releases that read less tell nothing."""
    storage = Storage(output.root)
    columns = ["row_key", "path", *MEDIA_COLUMNS]
    tables = map_concurrently(lambda entry: read_row_file(storage, output.asset, entry, columns), list(files))
    rows = (row for table in tables for row in table.to_pylist())
    return {row["path"]: {name: row[name] for name in MEDIA_COLUMNS} for row in rows if row["sha256"]}


def _has_files(row: Row, present: set[str]) -> bool:
    if row["status"] != "kept":
        return True
    # Only the preview is optional. A row without a path was rejected before its clip was cut.
    return row["path"] in present and all(row[name] is None or row[name] in present for name in PATH_COLUMNS)
