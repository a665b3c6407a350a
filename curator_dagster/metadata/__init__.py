"""What Dagster shows of an asset: before it is materialized, and of each materialization."""

from curator_dagster.metadata.declared import asset_metadata, column_schema
from curator_dagster.metadata.materialized import Metadata, metadata_by_partition

__all__ = ["Metadata", "asset_metadata", "column_schema", "metadata_by_partition"]
