import pytest

from curator_dagster.report.committed_tables import read_committed
from curator_dagster.report.final_outcomes import FinalOutcome, final_outcomes
from stages.storage import Storage
from stages.tasks import Row
from tests.curator_dagster.synthetic_roots import clip, commit, write_root

DARK = {"filtered_clips": {"status": "rejected", "reason": "black", "error": "black must be at most 0.5, got 0.7."}}


STALLED = {"embeddings": {"status": "failed", "reason": "stalled"}}


ALIKE = {"unique_clips": {"status": "rejected", "reason": "duplicate", "group_id": "clip0", "similarity": 0.97}}


@pytest.mark.parametrize(
    ("ends", "until", "outcome"),
    [
        ({}, "dataset", ("dataset", "kept", "")),
        (DARK, "dataset", ("filtered_clips", "rejected", "black")),
        (STALLED, "dataset", ("embeddings", "failed", "stalled")),
        (ALIKE, "dataset", ("unique_clips", "rejected", "duplicate")),
        ({"captions": {"status": "failed", "reason": "empty_caption"}}, "dataset", ("dataset", "kept", "")),
        ({}, "clips", ("clips", "unfinished", "")),
        ({}, "unique_clips", ("unique_clips", "unfinished", "")),
    ],
)
def test_outcome_of_a_clip_is_that_of_the_asset_where_it_ends(
    storage: Storage, ends: Row, until: str, outcome: tuple[str, ...]
) -> None:
    write_root(storage, [clip(0, ends=ends)], until=until)
    found = final_outcomes(read_committed(storage))
    assert {name: (each.asset, each.status, each.reason) for name, each in found.items()} == {"clip0": outcome}


def test_outcome_of_a_video_without_clips_is_its_own(storage: Storage) -> None:
    video = {"partition": "p", "uri": "/a.mp4"}
    damaged = {"status": "failed", "reason": "unreadable"}
    empty = {"status": "rejected", "reason": "no_clips"}
    commit(storage, "videos", "p", [{**video, "video_id": "a", **damaged}, {**video, "video_id": "b"}])
    commit(storage, "clips", "p", [{**video, "video_id": "b", "clip_id": None, **empty}])
    found = final_outcomes(read_committed(storage))
    assert found["a"] == FinalOutcome("a", "p", "videos", "failed", "unreadable")
    assert found["b"] == FinalOutcome("b", "p", "clips", "rejected", "no_clips")


def test_outcome_of_a_written_clip_stays_that_of_the_dataset_while_a_filter_turned_stricter(storage: Storage) -> None:
    write_root(storage, [clip(0)])
    commit(storage, "filtered_clips", "p0", [{**clip(0), "status": "rejected", "reason": "black"}])
    assert final_outcomes(read_committed(storage))["clip0"].status == "kept"


def test_outcome_of_an_unwritten_clip_is_the_first_loss_while_later_tables_are_of_before(storage: Storage) -> None:
    write_root(storage, [clip(0)], until="unique_clips")
    commit(storage, "filtered_clips", "p0", [{**clip(0), "status": "rejected", "reason": "black"}])
    assert final_outcomes(read_committed(storage))["clip0"] == FinalOutcome(
        "clip0", "p0", "filtered_clips", "rejected", "black"
    )
