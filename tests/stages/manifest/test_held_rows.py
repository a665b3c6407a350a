"""Commits of small tables hold the rows that a plan reads; without them, or with damage, row files give the same."""

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages.dedup import DedupPhase
from stages.manifest import ManifestRef, last_commit, read_kept_rows
from stages.manifest.held_rows import HELD_ROWS, held_columns
from stages.params import DedupParams
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Row
from tests.made_tables import commit_items

ASSET = "filtered_clips"
COLUMNS = ["partition", "clip_id", "uri", "start_s", "width", "is_hdr", "scores"]
ODD = 'an "odd" name,\n with [brackets], a \\ and é\u2028😀'


def made(number: int) -> Row:
    return {
        "partition": "p",
        "clip_id": f"c{number:04d}",
        "uri": ODD if number % 2 else None,
        "start_s": (0.1 + 0.2, -1e-300, float("inf"), None)[number % 4],
        "width": (2**62, -1, None)[number % 3],
        "is_hdr": (True, False, None)[number % 3],
        "scores": ({"motion": 1 / 3, ODD: None}, {}, None)[number % 3],
        "status": "kept" if number % 5 else "rejected",
    }


def commit(root: Path, count: int) -> ManifestRef:
    ref = ManifestRef(str(root), ASSET, "p")
    commit_items(ref, [(f"key{number}", [made(number)]) for number in range(count)])
    return ref


def read(root: Path) -> list[Row]:
    return read_kept_rows(Storage(root), ASSET, {"p": None}, COLUMNS, may_write=False)[0].to_pylist()


def expected(count: int) -> list[Row]:
    rows = [{name: made(number)[name] for name in COLUMNS} for number in range(count) if number % 5]
    return [{**row, "scores": row["scores"] and [*row["scores"].items()], "commit": 1} for row in rows]


def rows_without_none(rows: list[Row]) -> list[Row]:
    return [{**row, "scores": row["scores"] or None} for row in rows]


def test_rows_of_a_small_table_are_read_from_its_commit(tmp_path: Path) -> None:
    commit(tmp_path, 13)
    for path in tmp_path.rglob("rows-*.parquet"):
        path.unlink()
    assert rows_without_none(read(tmp_path)) == rows_without_none(expected(13))


def test_a_large_table_is_read_from_its_row_files(tmp_path: Path) -> None:
    newest = last_commit(Storage(tmp_path), commit(tmp_path, HELD_ROWS + 1))
    assert newest is not None
    assert newest.kept_rows == ""
    assert rows_without_none(read(tmp_path)) == rows_without_none(expected(HELD_ROWS + 1))


def without_width(text: str) -> str:
    lines = gzip.decompress(base64.b64decode(text)).decode().split("\n")
    others = [line for line in lines if not line.startswith("width ")]
    assert len(others) == len(lines) - 1
    return base64.b64encode(gzip.compress("\n".join(others).encode())).decode()


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data.pop("kept_rows"),
        lambda data: data.update(kept_rows=""),
        lambda data: data.update(kept_rows=data["kept_rows"][:-8]),
        lambda data: data.update(kept_rows=data["kept_rows"][:60] + "AAAA" + data["kept_rows"][64:]),
        lambda data: data.update(kept_rows="é"),
        lambda data: data.update(kept_rows=without_width(data["kept_rows"])),
    ],
    ids=["of an earlier version", "not held", "cut off", "changed", "no base64", "a column is missing"],
)
def test_row_files_are_read_where_a_commit_does_not_hold_rows(tmp_path: Path, harm: Callable[[Any], None]) -> None:
    commit(tmp_path, 13)
    (path,) = tmp_path.rglob("_commits/1.json")
    data = json.loads(path.read_bytes())
    harm(data)
    path.write_text(json.dumps(data))
    assert rows_without_none(read(tmp_path)) == rows_without_none(expected(13))


def test_tables_without_kept_rows_are_read_too(tmp_path: Path) -> None:
    commit(tmp_path, 1)
    assert read(tmp_path) == []


def test_no_plan_reads_what_commits_do_not_hold(tmp_path: Path) -> None:
    """Whatever dedup ranks by and counts by."""
    numbers = [field.name for field in ASSETS[ASSET].schema if field.type in (pa.int64(), pa.float64(), pa.bool_())]
    for params in (
        DedupParams(),
        DedupParams(copies=False, keep="rank", rank_by=[*numbers, "sharpness"]),
        DedupParams(quotas=[{"by": name, "max": 3} for name in ("camera_motion", "uri", "duration_s", "sharpness")]),
    ):
        phase = DedupPhase(params, str(tmp_path))
        for asset in phase.inputs:
            assert set(phase.columns_of(asset) or ()) - {"commit"} <= set(held_columns(asset))
