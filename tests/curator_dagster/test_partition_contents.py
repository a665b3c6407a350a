from datetime import UTC, datetime

import dagster as dg
import pytest

from curator_dagster.curation import Curation
from curator_dagster.partition_contents import contents_line, format_bytes, observations
from stages.sources import PartitionContents

NEWEST = datetime(2026, 9, 14, 10, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("contents", "line"),
    [
        (
            PartitionContents("2026-09-14-9ddc781e", 64, 12_345_000_000, NEWEST, ("/in/a.mp4", "/in/x/b, c.mp4")),
            "2026-09-14-9ddc781e: 64 videos, 12.3 GB, newest 2026-09-14 10:02 UTC: a.mp4, b, c.mp4 and 62 more",
        ),
        (
            PartitionContents("undated-9ddc781e", 1, 1_200_000, None, ("s3://bucket/e \x1b[31m.mp4",)),
            "undated-9ddc781e: 1 video, 1.2 MB: e ⟨U+001B⟩[31m.mp4",
        ),
        (PartitionContents("2026-09-14", 0, 0, None, ()), "2026-09-14: 0 videos, 0 B"),
    ],
)
def test_contents_line_says_what_a_partition_holds(contents: PartitionContents, line: str) -> None:
    assert contents_line(contents) == line


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (860_400_000, "860 MB"), (4_250 * 10**9, "4.2 TB")],
)
def test_format_bytes_rounds_for_reading(num_bytes: int, text: str) -> None:
    assert format_bytes(num_bytes) == text


def test_observations_are_of_the_curations_own_videos() -> None:
    contents = PartitionContents("2026-09-14-9ddc781e", 2, 3_000_000_000, NEWEST, ("/in/a.mp4", "/in/b.mp4"))
    undated = PartitionContents("undated-9ddc781e", 1, 1, None, ("/in/a.mp4",))
    found, other = observations(Curation(namespace="films"), [contents, undated])
    assert (found.asset_key, found.partition) == (dg.AssetKey(["films", "videos"]), "2026-09-14-9ddc781e")
    assert {name: value.value for name, value in found.metadata.items()} == {
        "videos": 2,
        "size": "3.0 GB",
        "first_videos": "a.mp4, b.mp4",
        "newest": NEWEST.timestamp(),
    }
    assert "newest" not in other.metadata
