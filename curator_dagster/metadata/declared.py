"""What is known of an asset before it is materialized: what a row is, and the meaning of each column."""

import dagster as dg

from stages.schemas import ASSETS


def column_schema(asset: str) -> dg.TableSchema:
    """Columns of an asset's table, with the meaning of each."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name, str(field.type), description=((field.metadata or {}).get(b"meaning") or b"").decode()
            )
            for field in ASSETS[asset].schema
        ]
    )


def asset_metadata(asset: str) -> dict[str, object]:
    """What is known of an asset before it is materialized."""
    return {
        "dagster/column_schema": column_schema(asset),
        "dagster/storage_kind": "parquet",
        "one_row_is": ASSETS[asset].grain,
    }
