"""Rows of many items as one table equal those of a table an item."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.manifest import table_of_items
from stages.manifest.item_rows import failure_reasons
from stages.tasks import Row

SCHEMA = pa.schema(
    [
        ("row_key", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("vector", pa.list_(pa.float32())),
        ("count", pa.int64()),
    ]
)


def row(key: str, **columns: Any) -> Row:
    return {"row_key": key, "status": "kept", "reason": None, "count": 1, **columns}


def test_items_of_dicts_and_tables_keep_their_order() -> None:
    rows: dict[str, list[Row] | pa.Table] = {
        "a": [row("a", count=1), row("a", count=2)],
        "b": pa.Table.from_pylist([row("b")], schema=SCHEMA),
        "c": [row("c", extra="is left out")],
    }
    table, unfit = table_of_items(rows, SCHEMA)
    assert table.schema == SCHEMA
    assert list(zip(table["row_key"].to_pylist(), table["count"].to_pylist(), strict=True)) == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("c", 1),
    ]
    assert unfit == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_are_those_of_lists_of_numbers(dtype: type[np.floating[Any]]) -> None:
    vectors = [np.array([0.1, 2.0], dtype), None, np.array([], dtype), np.array([1e-9], dtype)]
    arrays = {str(number): [row(str(number), vector=vector)] for number, vector in enumerate(vectors)}
    lists = {
        key: [{**each, "vector": None if each["vector"] is None else each["vector"].tolist()}]
        for key, (each,) in arrays.items()
    }
    expected = pa.concat_tables([pa.Table.from_pylist(each, schema=SCHEMA) for each in lists.values()])
    assert table_of_items(arrays, SCHEMA)[0].to_pylist() == expected.to_pylist()
    assert table_of_items(lists, SCHEMA)[0].equals(expected.combine_chunks())


def test_item_that_does_not_fit_is_replaced_and_no_other() -> None:
    rows = {"a": [row("a")], "b": [row("b", count="many")], "c": [row("c")]}
    with pytest.raises(pa.ArrowInvalid):
        table_of_items(rows, SCHEMA)

    def replace(row_key: str, error: Exception) -> list[Row]:
        return [row(row_key, status="failed", reason=type(error).__name__)]

    table, unfit = table_of_items(rows, SCHEMA, replace)
    assert table["status"].to_pylist() == ["kept", "failed", "kept"]
    assert unfit == ["b"]
    assert failure_reasons(table) == failure_reasons(table.to_pylist()) == ["", "ArrowInvalid", ""]
