from pathlib import Path

import dagster as dg
import pytest

from curator_dagster.checks.check_specs import check_specs
from curator_dagster.checks.registry import CHECKS
from stages.params import CheckParams
from stages.schemas import ASSETS
from tests.curator_dagster.checks.tables import checked_table, commit


@pytest.mark.parametrize("asset", ASSETS)
def test_every_check_passes_a_table_without_rows(tmp_path: Path, asset: str) -> None:
    made = commit(tmp_path, asset, [])
    results_of_checks = [check.evaluate(checked_table(tmp_path, made)) for check in CHECKS if asset in check.assets]
    assert [result.description for result in results_of_checks if not result.passed] == []


def test_check_that_is_off_is_not_declared() -> None:
    params = CheckParams(written_clips="off", no_row_lost="off")
    specs = check_specs("dataset", dg.AssetSpec("dataset"), params)
    assert [spec.name for spec in specs] == ["table_schema", "failed_share"]


def test_every_check_is_a_parameter_of_its_name() -> None:
    assert {check.name for check in CHECKS} < set(CheckParams.model_fields)
    assert {check.name for check in CHECKS if check.is_blocking} == {"no_row_lost", "table_schema", "written_clips"}
