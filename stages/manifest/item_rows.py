"""Rows of items as one table: of many rows at once, which takes a small part of the time of a table an item."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stages.tasks import Row

ItemRows = list[Row] | pa.Table
"""All rows of one item. A table has the columns of the asset's schema, in its order."""
OnUnfit = Callable[[str, Exception], list[Row]]
"""From the key of an item whose rows do not fit the schema, and the error, the rows that it has instead."""


def table_of_items(
    rows: Mapping[str, ItemRows], schema: pa.Schema, on_unfit: OnUnfit | None = None
) -> tuple[pa.Table, list[str]]:
    """The rows of all items, in their order, and the keys of the items whose rows were replaced.

    Args:
        rows: by row key.
        schema: of the table.
        on_unfit: called for an item whose rows do not fit the schema.

    Raises:
        pyarrow.ArrowException, TypeError, ValueError: rows do not fit the schema, where there is no `on_unfit`.
    """
    try:
        return pa.concat_tables(_tables(rows.values(), schema)), []
    except Exception:  # a user's stage may have put anything into a row
        if on_unfit is None:
            raise
    tables, unfit = list[pa.Table](), list[str]()
    for row_key, each in rows.items():
        try:
            tables += _tables([each], schema)
        except Exception as error:  # noqa: BLE001 - likewise; it fails this item alone
            tables += _tables([on_unfit(row_key, error)], schema)
            unfit.append(row_key)
    return pa.concat_tables(tables), unfit


def iter_rows(table: pa.Table) -> Iterator[Row]:
    """Iterate over the rows of a table without a list of all as dicts. Map columns become dicts."""
    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            for name in maps:
                row[name] = dict(row[name] or [])
            yield row


def failure_reasons(rows: ItemRows) -> list[str]:
    """For each row, in order, the reason of its failure; empty where it did not fail."""
    if isinstance(rows, list):
        outcomes = ((row["status"], row.get("reason")) for row in rows)
    else:
        outcomes = zip(rows["status"].to_pylist(), rows["reason"].to_pylist(), strict=True)
    return [str(reason) if status == "failed" else "" for status, reason in outcomes]


def _tables(items: Iterable[ItemRows], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of the items in as few tables as they are."""
    for is_list, group in itertools.groupby(items, key=lambda each: isinstance(each, list)):
        if not is_list:
            yield from group
        else:
            rows = [row for item in group for row in item]
            columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
            yield pa.Table.from_arrays(columns, schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """An array of the values. Vectors of numbers are copied as they lie in memory, not number by number."""
    is_of_vectors = pa.types.is_list(kind) and all(value is None or isinstance(value, np.ndarray) for value in values)
    if not is_of_vectors or all(value is None for value in values):
        return pa.array(values, kind)
    present = [value for value in values if value is not None]
    ends = np.cumsum([0 if value is None else len(value) for value in values])
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    mask = pa.array([value is None for value in values])
    numbers = pa.array(np.concatenate(present), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), numbers, type=kind, mask=mask)
