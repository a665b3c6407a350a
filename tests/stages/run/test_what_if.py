"""Trying parameters of filter on stored scores: what it says is what a run then does."""

from pathlib import Path
from typing import Any

import pytest

from stages.errors import ManifestError, ParamsError
from stages.manifest import ManifestRef, read_manifest
from stages.params import ExecutorParams, FilterParams
from stages.run import compare, last_filter_params, open_session, propose_thresholds
from stages.tasks import Row
from tests.clips import PARTITION, clip_row, commit_rows
from tests.videos import noise_shot, write_video

LENGTHS = range(10, 210, 10)
"""Frames of twenty clips: at 25 a second from 0.4 to 8 s."""


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    video = write_video(tmp_path / "a.mp4", noise_shot(1, 1))  # its frames are never read, only columns
    return [clip_row(video, 0, length, flow_mean=0.001 * length, width=40 + length) for length in LENGTHS]


def run(root: Path, rows: list[Row] | None = None, **params: Any) -> None:
    clips = ManifestRef(str(root), "clips", PARTITION) if rows is None else commit_rows(root, "clips", rows)
    output = ManifestRef(str(root), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(FilterParams(**params), {"clips": [clips]}, [output])


def counts(root: Path) -> dict[str, int]:
    table = read_manifest(str(root), "filtered_clips").to_pylist()
    outcomes = [row["reason"] or row["status"] for row in table]
    return {outcome: outcomes.count(outcome) for outcome in outcomes}


def test_comparison_is_what_a_run_makes_of_it(tmp_path: Path, rows: list[Row]) -> None:
    filters = {"filters": ["motion", "duration"], "motion_min": 0.05}
    run(tmp_path, rows, **filters)
    assert last_filter_params(str(tmp_path)) == FilterParams(**filters)
    files = sorted(tmp_path.rglob("*"))
    found = compare(str(tmp_path), FilterParams(**{**filters, "motion_min": 0.03, "duration_max_s": 4.0}))
    assert sorted(tmp_path.rglob("*")) == files
    assert found.now.clips == counts(tmp_path) == {"kept": 16, "motion": 4}
    assert (found.won, found.lost) == ({"motion": 2}, {"duration": 10})
    assert found.now.hours["motion"] == pytest.approx((0.4 + 0.8 + 1.2 + 1.6) / 3600)
    run(tmp_path, **{**filters, "motion_min": 0.03, "duration_max_s": 4.0})
    assert found.then.clips == counts(tmp_path) == {"kept": 8, "motion": 2, "duration": 10}


def test_two_sets_of_parameters_are_compared(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, filters=["motion"])
    some, most = (FilterParams(filters=["motion"], motion_max=limit) for limit in (0.1, 0.15))
    found = compare(str(tmp_path), some, most)
    assert (found.now.clips["kept"], found.then.clips["kept"], found.lost["motion"]) == (15, 10, 5)


def test_filter_that_has_not_scored_judges_nothing(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, filters=["motion"])
    found = compare(str(tmp_path), FilterParams(filters=["motion", "duration"], duration_max_s=1, motion_min=0.05))
    assert found.then.clips == {"kept": 16, "motion": 4}
    assert found.unmeasured == {"duration": 20}


@pytest.mark.parametrize(("share", "kept"), [(0.7, 14), (0.25, 5), (1.0, 20)])
def test_proposed_thresholds_keep_the_share(tmp_path: Path, rows: list[Row], share: float, kept: int) -> None:
    run(tmp_path, rows, filters=["motion", "duration"], motion_min=0.05)
    params = last_filter_params(str(tmp_path))
    proposed = propose_thresholds(str(tmp_path), params, share)
    assert proposed.keys() == {"motion_min", "motion_max"}
    found = compare(str(tmp_path), params.model_copy(update=proposed))
    # Both limits take as many: an odd number of clips to reject leaves one more.
    assert found.then.clips["kept"] - kept in (0, 1)


def test_facts_limit_the_share(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, filters=["motion", "duration"], duration_max_s=4.0)
    params = last_filter_params(str(tmp_path))
    with pytest.raises(ParamsError, match="at most what size, duration, camera admit, 10 of 20 clips, got"):
        propose_thresholds(str(tmp_path), params, 0.7)
    proposed = propose_thresholds(str(tmp_path), params, 0.4)
    assert compare(str(tmp_path), params.model_copy(update=proposed)).then.clips["kept"] == 8


def test_root_without_clips_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Run the filter phase first"):
        last_filter_params(str(tmp_path))
