"""Tables that a test writes itself, in the place of the phase that makes them."""

from collections.abc import Iterable, Mapping
from typing import Any

from stages.manifest import Commit, ManifestRef, RowWriter, commit_table
from stages.storage import Storage
from stages.tasks import Row


def commit_items(
    ref: ManifestRef,
    items: Iterable[tuple[str, list[Row]]],
    *,
    decision_key: str = "d",
    made_with: Mapping[str, Any] | None = None,
) -> Commit:
    """Make these rows, each item's with its key, the table.

    Args:
        ref: the table; its root may be a bucket.
        items: keys and rows.
        decision_key: of all rows.
        made_with: what the commit says that it was made with.
    """
    storage = Storage(ref.root)
    writer = RowWriter(storage, ref, decision_key=decision_key, lineage=made_with or {})
    for key, rows in items:
        writer.append(key, [{**row, "row_key": key, "decision_key": decision_key} for row in rows])
    writer.flush()
    return commit_table(storage, ref, writer.files, made_with or {})
