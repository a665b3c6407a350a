"""Metadata of assets: of their definitions, and of each materialization."""

from curator_dagster.metadata.definition import column_schema, definition_metadata
from curator_dagster.metadata.locations import REPORT_NAME, definition_location
from curator_dagster.metadata.materialization import Metadata, materialization_metadata

__all__ = [
    "REPORT_NAME",
    "Metadata",
    "column_schema",
    "definition_location",
    "definition_metadata",
    "materialization_metadata",
]
