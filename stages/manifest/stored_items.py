"""Finding the items of a table that have rows already, by the footers of its row files, committed or not."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from stages.errors import ManifestError
from stages.manifest.row_files import CommittedFile, ManifestRef, read_footer
from stages.storage import FileInfo, Storage, map_concurrently

logger = logging.getLogger(__name__)


@dataclass
class StoredItems:
    """The row files that hold each item.

    Attributes:
        by_item_key: by decision key and row key, a file whose rows were computed and decided so.
        by_row_key: by row key alone, a file whose rows were computed so, whatever they were decided by.
    """

    by_item_key: dict[str, dict[str, CommittedFile]] = field(default_factory=lambda: {})
    by_row_key: dict[str, CommittedFile] = field(default_factory=lambda: {})

    def preferred_files(self, decision_key: str) -> dict[str, CommittedFile]:
        """By row key, the file whose rows of an item are used.

        That is one with this decision key, unless the item failed there and did not fail in another file.
        """
        decided = self.by_item_key.get(decision_key, {})
        found = self.by_row_key | decided
        for entry in {entry.path: entry for entry in decided.values() if entry.failed}.values():
            for row_key in entry.failed:
                if decided.get(row_key) is entry and row_key not in self.by_row_key[row_key].failed:
                    found[row_key] = self.by_row_key[row_key]
        return found

    def decided_file(self, row_key: str, decision_key: str) -> CommittedFile | None:
        """The file whose rows of an item were decided so; None where there is none."""
        return self.by_item_key.get(decision_key, {}).get(row_key)

    def add(self, entry: CommittedFile, retry_reasons: Collection[str]) -> None:
        """Add the items of a file, except transient ones and those that failed for one of `retry_reasons`."""
        left_out = set(entry.transient)
        left_out.update(key for key in entry.failed if not entry.failure_reasons(key).isdisjoint(retry_reasons))
        decided = self.by_item_key.setdefault(entry.decision_key, {})
        added = dict.fromkeys(entry.items, entry)
        for row_key in left_out:
            added.pop(row_key, None)
        for known in (decided, self.by_row_key):
            twice = ((row_key, known[row_key]) for row_key in known.keys() & added.keys())
            kept = {row_key: there for row_key, there in twice if not _is_preferred(entry, there, row_key)}
            known.update(added | kept)


def _is_preferred(entry: CommittedFile, known: CommittedFile, row_key: str) -> bool:
    """True where the known file holds a failure of the item and this one does not."""
    return row_key in known.failed and row_key not in entry.failed


def find_stored_items(
    storage: Storage, ref: ManifestRef, retry_reasons: Collection[str] = (), *, committed: Iterable[CommittedFile] = ()
) -> StoredItems:
    """Every reusable item of a table.

    Args:
        storage: of the root.
        ref: the table.
        retry_reasons: items that failed for one of these reasons are left out, so that they are computed again.
        committed: files of a commit; where all items of one belong to the commit, and its size is the committed one,
            its footer is not read.
    """
    known = {(entry.path, entry.size_bytes): entry for entry in committed if len(entry.items) == entry.num_items}
    files = [info for info in storage.list(ref.folder) if info.path.endswith(".parquet")]
    unread = [info for info in files if (info.path, info.size_bytes) not in known]
    footers = dict(zip(unread, map_concurrently(lambda info: _read_items(storage, info), unread), strict=True))
    found = StoredItems()
    for info in files:
        entry = known.get((info.path, info.size_bytes)) or footers[info]
        if entry is not None:
            found.add(entry, retry_reasons)
    return found


def describe_row_file(storage: Storage, info: FileInfo) -> CommittedFile:
    """The file with all its items, by its footer; without its SHA-256.

    Raises:
        ManifestError: it is missing or damaged, or its footer lacks an entry.
    """
    footer = read_footer(storage, info.path)
    if missing := {"decision_key", "items", "transient"} - footer.keys():
        raise ManifestError(f"The footer of {storage.location(info.path)} must have {sorted(missing)}, and has not.")
    return CommittedFile(
        info.path,
        "",
        footer["decision_key"],
        footer["items"],
        transient=footer["transient"],
        failed=footer.get("failed", {}),  # absent in files of earlier versions, whose rows are as valid
        size_bytes=info.size_bytes,
        num_items=len(footer["items"]),
    )


def _read_items(storage: Storage, info: FileInfo) -> CommittedFile | None:
    """The file with all its items; None where it is damaged."""
    try:
        return describe_row_file(storage, info)
    except ManifestError as error:
        logger.warning("Rows of %s are computed again, it cannot be read: %s", info.path, error)
        return None
