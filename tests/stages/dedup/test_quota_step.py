"""Quotas in the phase: what is over, what stays as partitions come, and what a change of quotas costs."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.errors import ParamsError
from stages.params import DedupParams, FilterParams
from stages.run import check_ranking
from tests.stages.dedup.tables import Library

DIRECTIONS = np.random.default_rng(5).normal(size=(200, 24))
CAMERA = {"by": "camera_motion", "max": 3}


def fill(library: Library, partition: str, cameras: str, first: int = 0, **columns: Any) -> None:
    """A partition of unlike clips; s is a static camera, p one that pans."""
    names = [f"{partition}{number}" for number in range(len(cameras))]
    words = {"s": "static", "p": "pan"}
    library.add(
        partition,
        {name: DIRECTIONS[first + number].tolist() for number, name in enumerate(names)},
        facts={name: {"camera_motion": words[camera], **columns} for name, camera in zip(names, cameras, strict=True)},
    )


def kept(library: Library) -> set[str]:
    return {clip_id for clip_id, row in library.rows().items() if row["status"] == "kept"}


def test_what_is_over_a_quota_is_rejected_and_says_so(tmp_path: Path) -> None:
    library = Library(tmp_path)
    fill(library, "a", "sssspps")
    library.dedup(quotas=[CAMERA])
    rows = library.rows()
    assert Counter((row["reason"], dict(row["quota_classes"])["camera_motion"]) for row in rows.values()) == {
        (None, "static"): 3,
        ("over_quota", "static"): 2,
        (None, "pan"): 2,
    }
    over = [row for row in rows.values() if row["reason"] == "over_quota"]
    assert {row["error"] for row in over} == {
        "Of camera_motion static at most 3 clips are kept, and there were as many."
    }
    assert all((row["group_id"], row["group_size"], row["rank"]) == (row["clip_id"], 1, 0) for row in over)


def test_a_column_of_texts_goes_before_a_score_of_its_name(tmp_path: Path) -> None:
    library = Library(tmp_path)
    fill(library, "a", "sp", scores=[("camera_motion", 1.0)])  # the filter camera numbers the motions
    library.dedup(quotas=[CAMERA])
    classes = {clip_id: dict(row["quota_classes"]) for clip_id, row in library.rows().items()}
    assert classes == {"a0": {"camera_motion": "static"}, "a1": {"camera_motion": "pan"}}


def test_a_quota_counts_neither_duplicates_nor_what_they_count_as(tmp_path: Path) -> None:
    library = Library(tmp_path)
    fill(library, "a", "sssp")
    fill(library, "b", "sss")  # the same vectors again
    library.dedup(quotas=[CAMERA])
    assert kept(library) == {"a0", "a1", "a2", "a3"}
    assert {row["quota_classes"] is None for row in library.rows().values() if row["reason"] == "duplicate"} == {True}


def test_a_kept_clip_stays_kept_as_partitions_come(tmp_path: Path) -> None:
    library = Library(tmp_path)
    fill(library, "a", "ssss")
    library.dedup(quotas=[CAMERA])
    before = kept(library)
    fill(library, "b", "ssspp", first=10)
    library.dedup(quotas=[CAMERA])
    assert kept(library) == before | {"b3", "b4"}


@pytest.mark.parametrize("quotas", [[{"by": "camera_motion", "max": 1}], [{"by": "camera_motion", "max": 5}], []])
def test_changed_quotas_give_what_they_give_alone_and_search_nothing(
    tmp_path: Path, quotas: list[dict[str, Any]]
) -> None:
    library, fresh = Library(tmp_path / "changed"), Library(tmp_path / "fresh")
    for each in (library, fresh):
        fill(each, "a", "ssssssppp")
    library.dedup(quotas=[CAMERA])
    report = library.dedup(quotas=quotas)
    fresh.dedup(quotas=quotas)
    assert library.table().drop_columns(["row_key"]).equals(fresh.table().drop_columns(["row_key"]))
    assert report.counters["dedup_decisions_standing"] == 9
    assert "dedup_lookups" not in report.counters


def test_equal_clips_and_quotas_decide_nothing_again(tmp_path: Path) -> None:
    library = Library(tmp_path)
    fill(library, "a", "sssss")
    library.dedup(quotas=[CAMERA])
    assert (library.dedup(quotas=[CAMERA]).reused, library.dedup(quotas=[CAMERA]).computed) == (1, 0)
    fill(library, "a", "ppppp")
    assert library.dedup(quotas=[CAMERA]).computed == 1


def test_the_best_are_kept(tmp_path: Path) -> None:
    library = Library(tmp_path)
    fill(library, "a", "sss", sharpness=10.0)
    fill(library, "b", "sss", first=10, sharpness=90.0)
    library.dedup(quotas=[CAMERA], keep="rank", rank_by=["sharpness"])
    assert kept(library) == {"b0", "b1", "b2"}


def test_which_of_equal_clips_are_kept_hangs_on_no_partition(tmp_path: Path) -> None:
    library = Library(tmp_path)
    for number, partition in enumerate("abcdef"):
        fill(library, partition, "s" * 20, first=20 * number)
    library.dedup(quotas=[{"by": "camera_motion", "max": 60}])
    assert all(4 <= count <= 16 for count in Counter(clip[0] for clip in kept(library)).values())


def test_clusters_are_those_of_the_vectors(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    centres = np.eye(24)[:3] * 5
    numbers = [0] * 30 + [1] * 6 + [2] * 10
    library = Library(tmp_path)
    library.add(
        "a",
        {f"{centre}-{n}": (centres[centre] + random.normal(size=24) / 2).tolist() for n, centre in enumerate(numbers)},
    )
    library.dedup(eps=1e-6, quotas=[{"by": "cluster", "clusters": 3, "max": 8}])
    assert Counter(clip[0] for clip in kept(library)) == {"0": 8, "1": 6, "2": 8}


def test_durations_have_classes(tmp_path: Path) -> None:
    library = Library(tmp_path)
    for number, seconds in enumerate((2.5, 3.0, 9.0)):
        fill(library, f"{number}", "ss", first=2 * number, start_s=1.0, end_s=1.0 + seconds)
    library.dedup(quotas=[{"by": "duration_s", "edges": [3], "max_share": 0.34}])
    found = Counter((row["status"], dict(row["quota_classes"])["duration_s"]) for row in library.rows().values())
    assert found == {("kept", "<3"): 2, ("kept", ">=3"): 2, ("rejected", ">=3"): 2}


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ({"by": "camera", "max": 3}, "dedup.quotas must be by a column of filtered_clips, a score"),
        ({"by": "camera_motion", "max": 3, "edges": [1]}, "dedup.quotas by camera_motion must have no edges"),
    ],
)
def test_a_quota_by_nothing_known_is_refused_before_work(quota: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsError) as caught:
        check_ranking(FilterParams(filters=["size", "camera"]), DedupParams(quotas=[quota]))
    assert words in str(caught.value)
