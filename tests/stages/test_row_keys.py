"""Keys of many items at once are those of each item by itself."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.manifest import iter_rows
from stages.params import PHASES
from stages.phase import Phase, canonical, canonical_rows, key_values
from stages.run.phases import PHASE_CLASSES
from stages.storage import digest, digests
from tests.stages.test_keys import OTHER, ROWS

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n\r\x1f\u2028"\\,[]'))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    "text": (TEXTS, pa.string()),
    "number": (NUMBERS, pa.int64()),
    "share": (st.floats(), pa.float64()),
    "flag": (st.booleans(), pa.bool_()),
    "speech_share": (st.floats(), pa.float64()),
    "list": (st.lists(st.none() | TEXTS, max_size=3), pa.list_(pa.string())),
    "map": (st.dictionaries(TEXTS, st.none() | st.floats(), max_size=3), pa.map_(pa.string(), pa.float64())),
    "record": (st.fixed_dictionaries({"b": TEXTS, "a": NUMBERS}), pa.struct({"b": pa.string(), "a": pa.int64()})),
}
COLUMNS = {name: st.none() | values for name, (values, _) in VALUES.items()}
SCHEMA = pa.schema([(name, kind) for name, (_, kind) in VALUES.items()])


@given(st.lists(st.fixed_dictionaries(COLUMNS), max_size=4))
def test_canonical_rows_are_the_canonical_lists_of_the_rows(rows: list[dict[str, Any]]) -> None:
    columns = [pa.array([_for_arrow(row[name]) for row in rows], SCHEMA.field(name).type) for name in SCHEMA.names]
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    names = [*SCHEMA.names, "another"]
    assert canonical_rows(table, names) == [canonical(key_values(row, names)) for row in iter_rows(table)]


def _for_arrow(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) and set(value) != {"a", "b"} else value


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3))
def test_digests_are_those_of_all_parts(first: list[str], last: list[str]) -> None:
    assert digests(first, last) == [digest(*first, part) for part in last]


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("is_other", [False, True])
def test_row_keys_are_the_key_of_each_item(name: str, is_other: bool) -> None:
    phase: Phase[Any] = PHASE_CLASSES[name](PHASES[name].model_validate(OTHER[name] if is_other else {}), "/nowhere")
    row = ROWS[name]
    changed = {key: f"{value} x" if isinstance(value, str) else value for key, value in row.items()}
    rows = [row, {**changed, "time_base": "1/25"}]
    items = pa.table({column: pa.array([each.get(column) for each in rows]) for column in phase.key_columns})
    assert phase.row_keys(items) == [phase.row_key(each) for each in iter_rows(items)]
    assert phase.row_keys(items)[0] == phase.row_key(row)
    assert phase.row_keys(items.slice(0, 0)) == []
