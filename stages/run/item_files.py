"""The rows of an item as a stage made them, and the files that hold some items."""

from dataclasses import replace

from stages.errors import ManifestError
from stages.manifest import CommittedFile
from stages.schemas import STATUSES
from stages.tasks import Row


def checked_rows(rows: list[Row]) -> list[Row]:
    """The rows.

    Raises:
        ManifestError: there is none, or one has no valid status.
    """
    if not rows:
        raise ManifestError("A stage must make at least one row of a task, or reject it; got none.")
    invalid = [row["status"] for row in rows if row["status"] not in STATUSES]
    if invalid:
        raise ManifestError(f"The status of a row must be kept, rejected or failed, got {invalid[0]!r}.")
    return rows


def file_with_items(entry: CommittedFile, row_keys: list[str]) -> CommittedFile:
    """The entry of a file, restricted to these items."""
    kept = set(row_keys)
    transient = [key for key in entry.transient if key in kept]
    failed = {key: reasons for key, reasons in entry.failed.items() if key in kept}
    return replace(entry, items=sorted(kept), transient=transient, failed=failed)
