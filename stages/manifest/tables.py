"""Which tables a root has beside those of the assets: one of each further embedder.

    {root}/manifests/embeddings/        the table of the asset: that of the first embedder
    {root}/manifests/embeddings.NAME/   that of a further one; the same columns

A further table is there where its folder is, whatever a run's parameters name: rows outlive the parameter.
"""

from stages.schemas import ASSETS, AssetSchema
from stages.storage import Storage
from stages.table_names import asset_of


def is_table(name: str) -> bool:
    """True for the name of an asset's own table, or of a further one."""
    return asset_of(name) in ASSETS


def layout_of(table: str) -> AssetSchema:
    """The layout of a table: that of its asset."""
    return ASSETS[asset_of(table)]


def tables_of(storage: Storage) -> list[str]:
    """The tables of all assets, made or not, and behind its asset each further table of the root."""
    found = [name for name in storage.folders("manifests") if asset_of(name) != name]
    return [table for asset in ASSETS for table in (asset, *(name for name in found if asset_of(name) == asset))]


def further_tables(storage: Storage) -> list[str]:
    """The further tables of a root, by name."""
    return [table for table in tables_of(storage) if table not in ASSETS]
