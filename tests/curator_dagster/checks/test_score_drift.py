import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.score_drift import score_drift
from stages.run import PhaseReport
from tests.curator_dagster.checks.tables import checked_table, commit, row
from tests.phases import register_names


def scored(root: Path, partition: str, values: list[float]) -> PhaseReport:
    rows = [row(n, partition=partition, scores={"motion": value, "still": 1.0}) for n, value in enumerate(values)]
    return commit(root, "filtered_clips", rows, partition)


@pytest.fixture
def partitions(tmp_path: Path) -> list[str]:
    """Keys of three partitions in the order of their registration."""
    return register_names(tmp_path, ["a", "b", "c"], partition_size=1)


def drift(root: Path, partitions: list[str], *tables: list[float], **params: Any) -> CheckResult:
    """What the check says of the last of these tables, those before being there."""
    made = [scored(root, key, values) for key, values in zip(partitions, tables, strict=False)]
    return score_drift(checked_table(root, made[-1], **params))


def spread(start: float, count: int = 60) -> list[float]:
    return list(np.linspace(start, start + 1, count))


@pytest.mark.parametrize(
    ("tables", "passed"),
    [
        ([spread(0)], True),  # nothing to compare with
        ([spread(0), spread(0.02)], True),
        ([spread(0), spread(0), spread(0.7)], False),
        ([spread(0), spread(0), spread(5, 4)], True),  # four videos prove nothing
        ([spread(0, 3), spread(5)], True),  # nor do three before
    ],
)
def test_score_drift_fails_where_scores_differ_by_more_than_chance(
    tmp_path: Path, partitions: list[str], tables: list[list[float]], passed: bool
) -> None:
    result = drift(tmp_path, partitions, *tables)
    assert result.passed is passed, result.description
    assert passed or "motion" in result.description
    assert not passed or result.excess <= 0


@pytest.mark.parametrize(
    ("tables", "limits"),
    [
        (
            [spread(0), spread(0.3)],
            "0.30; at most 0.20 (checks.drift_max), but chance alone explains up to 0.37 (videos: 60, before: 60;",
        ),
        (
            [spread(0, 3), spread(5, 3)],
            "1.00; at most 0.20 (checks.drift_max), but chance alone explains any difference (videos: 3, before: 3;",
        ),
    ],
)
def test_score_drift_names_its_limit_beside_what_chance_explains(
    tmp_path: Path, partitions: list[str], tables: list[list[float]], limits: str
) -> None:
    result = drift(tmp_path, partitions, *tables)
    assert limits in result.description
    assert (result.metadata["drift_max"], float(result.metadata["by_chance"]) > 0.2) == (0.2, True)


def test_score_drift_looks_back_as_far_as_it_is_told(tmp_path: Path, partitions: list[str]) -> None:
    tables = spread(0), spread(5), spread(5)
    assert drift(tmp_path, partitions, *tables, drift_partitions=1).passed
    result = drift(tmp_path, partitions, *tables, drift_partitions=2)
    assert (result.passed, result.details[0]["videos_before"], result.metadata["difference"]) == (False, 120, 0.5)


def test_score_drift_does_not_read_the_tables_before_twice(tmp_path: Path, partitions: list[str]) -> None:
    expected = drift(tmp_path, partitions, spread(0), spread(0), spread(0.7)).metadata
    for key in partitions[:2]:
        for file in (tmp_path / f"manifests/filtered_clips/{key}").glob("*.parquet"):
            file.unlink()
    assert score_drift(checked_table(tmp_path, scored(tmp_path, partitions[2], spread(0.7)))).metadata == expected


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"digest": "d", "scores": {"motion": {}}}'])
def test_score_history_makes_a_sketch_anew_where_the_kept_one_is_of_no_use(
    tmp_path: Path, partitions: list[str], content: bytes
) -> None:
    expected = drift(tmp_path, partitions, spread(0), spread(0.7)).metadata
    file = tmp_path / f"checks/filtered_clips/{partitions[0]}.json"
    file.write_bytes(content)
    assert drift(tmp_path, partitions, spread(0), spread(0.7)).metadata == expected
    assert json.loads(file.read_bytes())["scores"]["motion"]["count"] == 60
