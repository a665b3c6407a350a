"""Definition metadata of an asset: the meaning of a row and of each column."""

import dagster as dg

from stages.schemas import ASSETS


def column_schema(asset: str) -> dg.TableSchema:
    """Column schema of an asset's table, with the meaning of each column."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name, str(field.type), description=((field.metadata or {}).get(b"meaning") or b"").decode()
            )
            for field in ASSETS[asset].schema
        ]
    )


def definition_metadata(asset: str) -> dict[str, object]:
    """Metadata of an asset's spec, which its page shows after that of the newest materialization.

    The columns do not stand under ``dagster/column_schema``: the page would show up to 60 of them before all figures.
    """
    return {
        "dagster/storage_kind": "parquet",
        "one_row_is": ASSETS[asset].grain,
        "columns": column_schema(asset),
    }
