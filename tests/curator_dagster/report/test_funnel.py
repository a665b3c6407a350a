import pytest

from curator_dagster.report.committed_tables import read_committed
from curator_dagster.report.funnel import funnel
from stages.storage import Storage
from tests.curator_dagster.synthetic_roots import CLIP_ASSETS, clip, commit, write_root

DARK = {"filtered_clips": {"status": "rejected", "reason": "black", "error": "black must be at most 0.5, got 0.7."}}


STALLED = {"embeddings": {"status": "failed", "reason": "stalled"}}


def test_funnel_counts_rows_reasons_and_hours_of_each_asset(storage: Storage) -> None:
    write_root(storage, [clip(0), clip(1, ends=DARK), clip(2, ends=DARK), clip(3, ends=STALLED)])
    steps = {step["asset"]: step for step in funnel(read_committed(storage))}
    assert list(steps) == ["videos", *CLIP_ASSETS]
    assert steps["videos"]["hours"]["kept"] == pytest.approx(3 * 100 / 3600)
    assert steps["filtered_clips"]["rows"] == {"kept": 2, "rejected": 2, "failed": 0}
    assert steps["filtered_clips"]["why"] == [["rejected", "black", 2]]
    assert steps["filtered_clips"]["hours"]["rejected"] == pytest.approx(2 * 2 / 3600)
    assert steps["embeddings"]["rows"] == {"kept": 1, "rejected": 0, "failed": 1}
    assert steps["dataset"]["hours"]["kept"] == pytest.approx(2 / 3600)


def test_funnel_counts_the_hours_of_a_clip_once_for_all_its_windows(storage: Storage) -> None:
    write_root(storage, [clip(0)], until="embeddings")
    commit(storage, "captions", "p0", [{**clip(0), "window_index": index} for index in range(3)])
    step = next(step for step in funnel(read_committed(storage)) if step["asset"] == "captions")
    assert step["rows"]["kept"] == 3
    assert step["hours"]["kept"] == pytest.approx(2 / 3600)
