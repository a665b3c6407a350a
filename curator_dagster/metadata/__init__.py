"""Metadata of assets: of their definitions, and of each materialization."""

from curator_dagster.metadata.definition import column_schema, definition_metadata
from curator_dagster.metadata.materialization import Metadata, materialization_metadata

__all__ = ["Metadata", "column_schema", "definition_metadata", "materialization_metadata"]
