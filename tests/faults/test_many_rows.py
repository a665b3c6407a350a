"""Many rows through the real manifest writer, each step in a process of its own.

1. The driver's memory grows by no more than `ITEM_BYTES` an item, mostly keys: whatever else a row holds is in files.
2. A run over items that all have rows is planned and committed in seconds, in a folder and in a bucket.
3. In a run over many partitions, memory does not grow with the rows: what is committed is let go.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.measurements import record
from tests.phases import register_names

pytestmark = pytest.mark.system

ITEM_BYTES = 1_500
READ_ITEM_BYTES = 2_000
"""Of a table that is read with all columns, which is held once as read and once sorted."""
SPARE_BYTES = 16 << 20
"""What allocators of several threads keep, in one process more than in another."""

STEPS: dict[str, dict[str, Any]] = {
    "compute": {"params": {}},
    "reuse": {"params": {}},
    "decide": {"params": {"min_width_px": 300}},
    "read": {},
}


def measure(root: str, count: int, steps: list[str]) -> dict[str, dict[str, float]]:
    """What each step took, over so many items."""
    (partition,) = register_names(root, [f"{number:06}.mp4" for number in range(count)], partition_size=count)
    done: dict[str, dict[str, float]] = {}
    for step in steps:
        request = {"roots": [root], "partition": partition, **STEPS[step]}
        command = [sys.executable, "-m", "tests.faults.scaled_run", json.dumps(request)]
        done[step] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert done[step]["rows"] == count
        figures = {name: done[step][name] for name in ("seconds", "grown_bytes")}
        record("many rows", store="bucket" if "://" in root else "folder", step=step, items=count, **figures)
    if "reuse" in steps:
        assert done["reuse"]["computed"] == done["reuse"]["redecided"] == 0
    return done


def check_growth(few: dict[str, dict[str, float]], many: dict[str, dict[str, float]]) -> None:
    """Memory by item, between two counts."""
    for step in many:
        items = many[step]["rows"] - few[step]["rows"]
        most = READ_ITEM_BYTES if step == "read" else ITEM_BYTES
        assert many[step]["grown_bytes"] - few[step]["grown_bytes"] < most * items + SPARE_BYTES, step


def test_memory_of_the_driver_grows_by_keys_alone(tmp_path: Path) -> None:
    counts = (500, 3_000)
    few, many = (measure(str(tmp_path / str(count)), count, ["compute", "reuse"]) for count in counts)
    check_growth(few, many)


def growth_over_partitions(root: Path, count: int) -> float:
    """Bytes by which a driver grows over so many partitions of 64 items."""
    register_names(root, [f"{number:06}.mp4" for number in range(64 * count)], partition_size=64)
    command = [sys.executable, "-m", "tests.faults.scaled_run", json.dumps({"roots": [str(root)], "params": {}})]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert done["computed"] == done["rows"] == 64 * count
    figures = {name: done[name] for name in ("seconds", "grown_bytes")}
    record("many partitions", items=64 * count, partitions=count, **figures)
    return done["grown_bytes"]


def test_memory_of_the_driver_is_flat_over_partitions(tmp_path: Path) -> None:
    # What allocators of many threads keep is full by then; both have many times as many as are in work at once.
    few, many = (growth_over_partitions(tmp_path / str(count), count) for count in (200, 400))
    assert many - few < 8 << 20


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_memory_of_the_driver_is_flat_over_100_000_rows(tmp_path: Path) -> None:
    few, many = (growth_over_partitions(tmp_path / str(count), count) for count in (16, 1_600))
    assert many - few < 32 << 20


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_100_000_rows_in_a_folder(tmp_path: Path) -> None:
    few, _, many = (measure(str(tmp_path / str(count)), count, list(STEPS)) for count in (1_000, 10_000, 100_000))
    check_growth(few, many)
    assert many["reuse"]["seconds"] < 10


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_100_000_rows_in_a_bucket(s3_bucket: str) -> None:
    done = measure(f"{s3_bucket}/root", 100_000, ["compute", "reuse", "read"])
    assert done["reuse"]["seconds"] < 30
