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


@pytest.mark.parametrize(
    ("failed", "rows", "most", "allowed"),
    [
        (0, 4, 0.0, 0),
        (1, 4, 0.0, 0),
        (1, 4, 0.05, 1),  # one row in any case
        (2, 4, 0.05, 1),
        (2, 40, 0.05, 2),
        (3, 40, 0.05, 2),
        (29, 100, 0.29, 29),
    ],
)
def test_failed_share_allows_the_larger_of_one_row_and_a_share(
    tmp_path: Path, failed: int, rows: int, most: float, allowed: int
) -> None:
    made = report(rows=rows, counts={"kept": rows - failed, "failed": failed})
    result = failed_share(checked_table(tmp_path, made, failed_max=most))
    assert (result.passed, result.metadata["failed_allowed"]) == (failed <= allowed, allowed)
    assert (result.excess <= 0, f"at most {allowed} may" in result.description) == (result.passed, True)


def test_failed_share_names_reasons_and_the_commands_that_list_and_repeat(tmp_path: Path) -> None:
    reasons = {"unreadable": 2, "too_short": 1}
    made = report(rows=4, counts={"kept": 1, "failed": 2, "rejected": 1}, reasons=reasons)
    description = failed_share(checked_table(tmp_path, made)).description
    assert " unreadable: 2. `curator show" in description
    assert f"`curator show {tmp_path} clips --status failed`" in description
    assert f"`curator retry {tmp_path}`" in description


def test_failed_share_passes_an_empty_table(tmp_path: Path) -> None:
    assert failed_share(checked_table(tmp_path, report(rows=0, counts={}), failed_max=0.0)).passed
