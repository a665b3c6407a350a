from pathlib import Path

import pytest

from curator_dagster.checks.row_counts import failed_share, no_row_lost
from tests.curator_dagster.checks.tables import checked_table, report


@pytest.mark.parametrize(
    ("values", "passed"), [({}, True), ({"missing": 1}, False), ({"rows": 4}, False), ({"items": 2}, True)]
)
def test_no_row_lost_passes_where_each_item_has_a_row_and_each_row_an_outcome(
    tmp_path: Path, values: dict[str, int], passed: bool
) -> None:
    result = no_row_lost(checked_table(tmp_path, report(**values)))
    assert result.passed is passed
    assert result.metadata["items_without_row"] == values.get("missing", 0)


@pytest.mark.parametrize(("failed", "most", "passed"), [(0, 0.0, True), (1, 0.25, True), (1, 0.2, False)])
def test_failed_share_is_at_most_what_is_allowed(tmp_path: Path, failed: int, most: float, passed: bool) -> None:
    made = report(rows=4, counts={"kept": 4 - failed, "failed": failed})
    result = failed_share(checked_table(tmp_path, made, failed_max=most))
    assert (result.passed, result.metadata["share"]) == (passed, failed / 4)


def test_failed_share_passes_an_empty_table(tmp_path: Path) -> None:
    assert failed_share(checked_table(tmp_path, report(rows=0, counts={}), failed_max=0.0)).passed
