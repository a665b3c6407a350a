import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator_dagster.checks.row_constraints import UNIQUE_COLUMNS, row_constraints
from curator_dagster.checks.table_schema import table_schema
from stages.schemas import ASSETS
from stages.tasks import Row
from tests.curator_dagster.checks.tables import checked_table, commit, row


@pytest.mark.parametrize("asset", ASSETS)
def test_table_schema_passes_a_table_as_phases_write_it(tmp_path: Path, asset: str) -> None:
    rejected = {"status": "rejected", "reason": "too_short", "clip_id": None, "embedding": None, "path": None}
    made = commit(tmp_path, asset, [row(0), row(1), row(2, **rejected)])
    result = table_schema(checked_table(tmp_path, made))
    assert result.passed, result.description
    assert asset in UNIQUE_COLUMNS
    assert asset in row_constraints()


@pytest.mark.parametrize(
    ("asset", "broken", "promise"),
    [
        ("videos", {"width": 0}, "width and height are above 0"),
        ("videos", {"uri": None}, "uri is not null"),
        ("clips", {"status": "lost"}, "status is one of"),
        ("clips", {"status": "failed", "reason": None}, "reason is null where kept, and only there"),
        ("clips", {"clip_id": None}, "a kept row has a clip_id"),
        ("clips", {"end_frame": 3}, "a span lies inside its video"),
        ("clips", {"start_pts": 2}, "start_pts is below end_pts"),
        ("filtered_clips", {"clip_id": "clip0"}, "no two rows share clip_id"),
        ("filtered_clips", {"scores": None}, "scores is not null"),
        ("embeddings", {"embedding": [2.0]}, "finite and of unit length"),
        ("embeddings", {"embedding": [float("nan")]}, "finite and of unit length"),
        ("embeddings", {"embedding": [0.6, 0.8]}, "have one size"),
        ("captions", {"clip_id": "clip0"}, "no two rows share clip_id and window_index"),
        ("captions", {"window_end_frame": 0}, "0 <= window_start_frame < window_end_frame"),
        ("unique_clips", {"similarity": 1.5}, "similarity is a cosine"),
        ("dataset", {"path": None}, "path is not null"),
        ("dataset", {"num_frames": 3}, "num_frames is that of the span"),
    ],
)
def test_table_schema_rejects_a_row_that_violates_a_constraint(
    tmp_path: Path, asset: str, broken: Row, promise: str
) -> None:
    made = commit(tmp_path, asset, [row(0), row(1, **broken)])
    result = table_schema(checked_table(tmp_path, made))
    assert not result.passed
    assert promise in result.description
    assert result.details[0]["rows"] in (1, 2)


def row_file(root: Path, asset: str) -> Path:
    (file,) = (root / f"manifests/{asset}/p").glob("*.parquet")
    return file


def test_table_schema_rejects_a_column_of_another_type(tmp_path: Path) -> None:
    made = commit(tmp_path, "videos", [row()])
    file = row_file(tmp_path, "videos")
    table = pq.read_table(file)
    place = table.schema.get_field_index("width")
    before = sha256(file)
    pq.write_table(table.set_column(place, "width", table["width"].cast(pa.int32())), file)
    (commit_file,) = (tmp_path / "manifests" / "videos").rglob("_commits/1.json")
    committed = commit_file.read_text().replace(before, sha256(file))
    commit_file.write_text(re.sub(r'"footer_sha256": ?"\w+"', '"footer_sha256": ""', committed))
    result = table_schema(checked_table(tmp_path, made))
    assert "width is int64, not int32" in result.description


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("break_file", [damage, Path.unlink])
def test_table_schema_rejects_a_file_that_is_damaged_or_gone(
    tmp_path: Path, break_file: Callable[[Path], None]
) -> None:
    made = commit(tmp_path, "videos", [row()])
    break_file(row_file(tmp_path, "videos"))
    result = table_schema(checked_table(tmp_path, made))
    assert (result.passed, result.is_evaluated) == (False, True)
    assert "computed again" in result.description
