"""Which items of a table have rows already, by the footers of its row files, committed or not."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from stages.errors import ManifestError
from stages.manifest.row_files import CommittedFile, ItemKey, ManifestRef, read_footer
from stages.storage import FileInfo, Storage, read_at_once

logger = logging.getLogger(__name__)


@dataclass
class StoredItems:
    """Where the rows of items lie.

    Attributes:
        decided: by (row_key, decision_key): the file with exactly these rows.
        worked: by row_key alone: a file whose rows were computed equally and decided in whatever way.
    """

    decided: dict[ItemKey, CommittedFile] = field(default_factory=lambda: {})
    worked: dict[str, CommittedFile] = field(default_factory=lambda: {})

    def file_of(self, row_key: str, decision_key: str) -> CommittedFile | None:
        """The file whose rows of an item count: one decided so, unless it failed there and went well in another."""
        decided, worked = self.decided.get(ItemKey(row_key, decision_key)), self.worked.get(row_key)
        if decided is None or (row_key in decided.failed and worked is not None and row_key not in worked.failed):
            return worked
        return decided

    def add(self, entry: CommittedFile, again: Collection[str]) -> None:
        """Note the items of a file, except those that are passing or failed for a reason in `again`."""
        passing = set(entry.transient)
        for row_key in entry.items:
            if row_key not in passing and entry.reasons(row_key).isdisjoint(again):
                key = ItemKey(row_key, entry.decision_key)
                if _is_better(entry, self.decided.get(key), row_key):
                    self.decided[key] = entry
                if _is_better(entry, self.worked.get(row_key), row_key):
                    self.worked[row_key] = entry


def _is_better(entry: CommittedFile, known: CommittedFile | None, row_key: str) -> bool:
    """The first file that holds an item is taken, but the rows of a try that went well before those of a failure."""
    return known is None or (row_key in known.failed and row_key not in entry.failed)


def find_stored_items(
    storage: Storage, ref: ManifestRef, again: Collection[str] = (), *, committed: Iterable[CommittedFile] = ()
) -> StoredItems:
    """Every reusable item of a table.

    Args:
        storage: where.
        ref: which table.
        again: items that failed for one of these reasons are left out, to be tried again.
        committed: files of a version; the footer of one that is taken from whole, and as long as then, is not read.
    """
    known = {(entry.path, entry.size_bytes): entry for entry in committed if len(entry.items) == entry.num_items}
    files = [info for info in storage.list(ref.folder) if info.path.endswith(".parquet")]
    unknown = [info for info in files if (info.path, info.size_bytes) not in known]
    read = dict(zip(unknown, read_at_once(lambda info: _entry_of(storage, info), unknown), strict=True))
    found = StoredItems()
    for info in files:
        entry = known.get((info.path, info.size_bytes)) or read[info]
        if entry is not None:
            found.add(entry, again)
    return found


def _entry_of(storage: Storage, info: FileInfo) -> CommittedFile | None:
    """All items of a file; None where it is damaged."""
    try:
        footer = read_footer(storage, info.path)
        return CommittedFile(
            info.path,
            "",
            footer["decision_key"],
            footer["items"],
            transient=footer["transient"],
            failed=footer.get("failed", {}),  # files of before it was noted; their rows are as good
            size_bytes=info.size_bytes,
            num_items=len(footer["items"]),
        )
    except (ManifestError, KeyError) as error:
        logger.warning("Rows of %s are computed again, it cannot be read: %s", info.path, error)
        return None
