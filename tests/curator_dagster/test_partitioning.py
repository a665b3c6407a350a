from pathlib import Path

import pytest

from curator_dagster.partitioning import TimeWindowPartitioning
from curator_dagster.resources import Storage
from stages.params import ReadParams
from stages.sources import read_members
from tests.curator_dagster.conftest import put

BERLIN = {"timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("windows", "path", "key"),
    [
        (TimeWindowPartitioning("daily", "2025-01-01", "%Y/%m/%d/%H/"), "2025/01/02/05/a.mp4", "2025-01-02"),
        (
            TimeWindowPartitioning("hourly", "2025-01-01-00:00", "%Y-%m-%d_%H%M%S"),
            "2025-01-02_051730.mp4",
            "2025-01-02-05:00",
        ),
        (
            TimeWindowPartitioning("hourly", "2025-01-01-00:00", "%Y%m%d/%H/", **BERLIN),
            "20251026/02/a.mp4",
            "2025-10-26-02:00",
        ),
        (
            TimeWindowPartitioning("hourly", "2025-01-01-00:00", "%Y%m%d/%H/", **BERLIN),
            "20250330/02/a.mp4",
            "2025-03-30-03:00",
        ),
        (TimeWindowPartitioning("hourly", "2025-01-01-00:00", "%Y%m%d/%H/", **BERLIN), "20240101/02/a.mp4", None),
    ],
)
def test_time_window_of_a_path_is_one_that_dagster_knows(
    windows: TimeWindowPartitioning, path: str, key: str | None
) -> None:
    assert windows.closed_window_key(path) == key
    assert key is None or key in windows.partitions_def("").get_partition_keys()


def test_time_windows_are_listed_whole_where_paths_are_finer_and_in_the_hour_that_comes_twice(
    storage: Storage, tmp_path: Path
) -> None:
    folder, files = tmp_path / "bucket", storage.open()
    put(folder, "a.mp4", "b.mp4", "c.mp4")
    daily = TimeWindowPartitioning("daily", "2025-01-01", "%Y/%m/%d/%H/")
    put(folder, "2025/10/26/02/b.mp4", "2025/10/26/05/c.mp4")
    daily.register_window_sources(["2025-10-26"], files, str(folder), ReadParams())
    assert len(read_members(files, "2025-10-26")) == 2
    hourly = TimeWindowPartitioning("hourly", "2025-10-26-00:00", "%Y/%m/%d/%H/", **BERLIN)
    twice = ["2025-10-26-02:00", "2025-10-26-02:00+0100"]
    other = Storage(root=f"{storage.root}-2").open()
    hourly.register_window_sources(twice, other, str(folder), ReadParams())
    assert [len(read_members(other, key)) for key in twice] == [1, 0]
