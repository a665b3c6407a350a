"""Tells, before any work, which tables were last made with other parameters."""

from collections import Counter
from collections.abc import Sequence

from stages.errors import ManifestError
from stages.manifest import ManifestRef, last_commit
from stages.params import Params
from stages.run.changes import params_changes
from stages.storage import Storage, map_concurrently


def changed_params(params: Params, tables: Sequence[ManifestRef]) -> Counter[str]:
    """The parameters whose values differ from those that tables of a phase were last made with.

    Only parameters on which rows depend are compared. Costs two requests of the store for each table.

    Args:
        params: of the phase, as the run will use them.
        tables: of its asset, under one root; those that were never made count for nothing.

    Returns:
        The number of tables by change, such as "split.threshold changed from 0.3 to 0.4".

    Raises:
        StorageError: the root does not answer.
    """
    if not tables:
        return Counter()
    storage = Storage(tables[0].root)

    def changes_of(table: ManifestRef) -> list[str]:
        try:
            commit = last_commit(storage, table)
        except ManifestError:  # damaged: the phase itself says so, and leaves out this table alone
            return []
        # An empty table is the same whatever made it, and is not committed again.
        return list(params_changes(params, commit.lineage.get("params", {}))) if commit and commit.files else []

    return Counter(change for changes in map_concurrently(changes_of, list(tables)) for change in changes)
