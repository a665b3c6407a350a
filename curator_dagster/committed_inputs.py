"""The tables that a table is made from, as far as they are committed under a root."""

from collections.abc import Iterable

from curator_dagster.asset_graph import ASSET_GRAPH, UNPARTITIONED_ASSETS
from stages.errors import ManifestError
from stages.manifest import ALL, ManifestRef, committed_partitions
from stages.params import Params
from stages.run import Inputs
from stages.sources import registered_partitions
from stages.storage import Storage
from stages.table_names import asset_of, name_of


def input_tables(storage: Storage, params: Params, partitions: list[str]) -> Inputs:
    """The tables that the partitions are made from, by asset.

    Raises:
        ManifestError: an unpartitioned asset finds no partition that has all of its inputs, or one that lacks those
            of the embedder that the parameters name.
    """
    upstream = ASSET_GRAPH[params.asset].deps
    if partitions == [ALL]:
        tables = [params.table_read(asset) for asset in upstream]
        partitions = fully_committed_partitions(storage, tables)
        if not partitions:
            raise ManifestError(
                f"No partition under {storage.root} has {' and '.join(tables)} committed. Materialize them first."
            )
    keys = {asset: [ALL] if asset in UNPARTITIONED_ASSETS else partitions for asset in upstream}
    return {
        asset: [ManifestRef(storage.root, params.table_read(asset), key) for key in keys[asset]] for asset in upstream
    }


def fully_committed_partitions(storage: Storage, tables: Iterable[str]) -> list[str]:
    """Partitions with a commit of every one of these tables, in the order of registration.

    Raises:
        ManifestError: of a further table that is among them, a partition lacks it and has the asset's own: its clips
            would count as gone.
    """
    committed = {table: set(committed_partitions(storage, table)) for table in tables}
    order = registered_partitions(storage)
    for table, found in committed.items():
        asset = asset_of(table)
        others = set(committed_partitions(storage, asset)) if asset != table else set[str]()
        if lacking := [key for key in order if key in others - found]:
            raise ManifestError(
                f"Every partition with {asset} must have {table} to be read in its place, and {len(lacking)} have "
                f"none, the first is {lacking[0]}. Materialize {asset} of them, with {name_of(table)} in embed.more."
            )
    complete = set.intersection(*committed.values())
    return [key for key in order if key in complete]
