from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stages.errors import ManifestError
from stages.manifest import ManifestRef
from stages.params import ReadParams
from stages.sources import (
    PartitionContents,
    Register,
    Source,
    read_contents,
    read_hours,
    register_sources,
    register_time_windows,
)
from stages.sources.members import read_members_file, write_members_file
from stages.storage import Storage
from tests.made_tables import commit_items

NOON = datetime(2026, 9, 14, 12, tzinfo=UTC)


def source(name: str, hours_before: int = 0) -> Source:
    return Source(f"/in/{name}", "1", 1_000, NOON.timestamp() - 3600 * hours_before)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_read_contents_counts_what_each_partition_holds(storage: Storage) -> None:
    listed = [source("a", 2), source("b"), source("c", 1), source("d", 5), source("e", 30)]
    first, second = register_sources(storage, listed, ReadParams(partition_size=4))
    assert read_contents(Register(storage), [second, first]) == [
        PartitionContents(second, 1, 1_000, datetime(2026, 9, 13, 6, tzinfo=UTC), ("/in/e",)),
        PartitionContents(first, 4, 4_000, NOON, ("/in/a", "/in/b", "/in/c")),
    ]
    assert (first[:10], second[:10]) == ("2026-09-14", "2026-09-13")


def test_read_contents_counts_late_members_and_windows_without_videos(storage: Storage) -> None:
    register = Register(storage)
    register_time_windows(register, {"2026-09-13": [], "2026-09-14": [source("a")]})
    register_time_windows(register, {"2026-09-14": [Source("/in/b", "1", 500)]})
    assert read_contents(register, ["2026-09-13", "2026-09-14"]) == [
        PartitionContents("2026-09-13", 0, 0, None, ()),
        PartitionContents("2026-09-14", 2, 1_500, NOON, ("/in/a", "/in/b")),
    ]
    with pytest.raises(ManifestError, match="must be registered"):
        read_contents(register, ["2026-09-15"])


def test_read_contents_joins_members_of_an_earlier_release_with_late_ones(storage: Storage) -> None:
    register = Register(storage)
    register_time_windows(register, {"2026-09-14": [source("a")]})
    path = "partitions/2026-09-14.parquet"
    write_members_file(storage, path, read_members_file(storage, path).drop(["modified_s"]))
    register_time_windows(register, {"2026-09-14": [source("b", 3)]})
    assert read_contents(Register(storage), ["2026-09-14"]) == [
        PartitionContents("2026-09-14", 2, 2_000, datetime(2026, 9, 14, 9, tzinfo=UTC), ("/in/a", "/in/b")),
    ]


def test_read_hours_are_of_the_videos_that_could_be_probed(storage: Storage) -> None:
    made, not_made = register_sources(storage, [source("a"), source("b")], ReadParams(partition_size=1))
    facts = {"partition": made, "uri": "/in/a", "etag": "1"}
    rows: list[dict[str, Any]] = [
        {**facts, "status": "kept", "video_id": "a", "duration_s": 5400.0},
        {**facts, "status": "kept", "video_id": "b", "duration_s": None},
        {**facts, "status": "rejected", "reason": "superseded", "video_id": "c", "duration_s": 1800.0},
    ]
    commit_items(ManifestRef(storage.root, "videos", made), [(row["video_id"], [row]) for row in rows])
    assert read_hours(Register(storage), [not_made, made]) == [None, 1.5]
