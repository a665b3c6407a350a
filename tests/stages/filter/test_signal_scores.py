"""Motion and sharpness reduced anew from stored signals: a decision, without a decode."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.errors import ManifestError, ParamsError
from stages.filter import FilterPhase
from stages.manifest import ManifestRef, read_manifest
from stages.params import ExecutorParams, FilterParams
from stages.phase import PhaseReport
from stages.run import compare, open_session
from stages.signals import Samples, Signals, signals_path, write_signals
from stages.storage import Storage
from stages.tasks import Row
from tests.clips import PARTITION, clip_row, commit_rows
from tests.videos import noise_shot, write_video

KEY = "decode"
PAIRS = np.arange(0, 100, 10)
FLOW = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.5, 0.6, 0.7, 0.8, 1.0], np.float32)
SHARPNESS = np.array([50, 60, 70, 80, 90, 100, 110, 120, 130, 140], np.float32)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Two clips of a video, and its signals: pairs of pictures 3 frames apart, of which one lies in neither clip."""
    video = write_video(tmp_path / "a.mp4", noise_shot(1, 1))  # its frames are never read
    rows = [
        clip_row(video, 0, 42, flow_mean=0.25, sharpness=90.0, signals_key=KEY),
        clip_row(video, 42, 100, flow_mean=0.72, sharpness=125.0, signals_key=KEY),
    ]
    frames = np.arange(100)
    flow = Samples(PAIRS, {"flow_gap": np.full(10, 3), "flow": FLOW})
    samples = {"flow": flow, "sharpness": Samples(PAIRS, {"sharpness": SHARPNESS})}
    signals = Signals(frames, frames[:1], 100, Fraction(1, 25), None, samples)
    write_signals(Storage(str(tmp_path)), signals_path(PARTITION, rows[0]["video_id"], KEY), signals)
    return rows


def run(root: Path, rows: list[Row] | None = None, **params: Any) -> PhaseReport:
    clips = ManifestRef(str(root), "clips", PARTITION) if rows is None else commit_rows(root, "clips", rows)
    output = ManifestRef(str(root), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(FilterParams(**params), {"clips": [clips]}, [output])[PARTITION]


def table(root: Path) -> list[Row]:
    return read_manifest(str(root), "filtered_clips").to_pylist()


def score(root: Path, name: str) -> list[float]:
    return [dict(row["scores"])[name] for row in table(root)]


BOTH = {"filters": ["motion", "sharpness"], "sharpness_min": 0.0}


def test_reduction_of_motion_and_sharpness_is_decided_again_and_back(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, **BOTH)
    assert (score(tmp_path, "motion"), score(tmp_path, "sharpness")) == ([0.25, 0.72], [90.0, 125.0])
    report = run(tmp_path, **BOTH, reduce=["motion=median", "sharpness=min"])
    assert (report.computed, report.redecided) == (0, 2)
    # The pair from frame 40 to 43 lies in neither clip.
    assert score(tmp_path, "motion") == pytest.approx([0.25, 0.7])
    assert score(tmp_path, "sharpness") == [50, 100]
    run(tmp_path, **BOTH, reduce=["motion=max"], motion_max=0.5)
    assert score(tmp_path, "motion") == pytest.approx([0.4, 1.0])
    assert [row["reason"] for row in table(tmp_path)] == [None, "motion"]
    run(tmp_path, **BOTH)
    assert (score(tmp_path, "motion"), score(tmp_path, "sharpness")) == ([0.25, 0.72], [90.0, 125.0])


def test_what_if_reduces_from_signals_as_a_run_does(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, **BOTH)
    params = FilterParams(**BOTH, reduce=["motion=min"], motion_min=0.3)
    files = sorted(tmp_path.rglob("*"))
    found = compare(str(tmp_path), params)
    assert sorted(tmp_path.rglob("*")) == files
    assert (found.now.clips, found.then.clips) == ({"kept": 2}, {"kept": 1, "motion": 1})


def test_without_signals_the_reduction_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, **BOTH)
    next((tmp_path / "manifests" / "signals").rglob("*.parquet")).unlink()
    with pytest.raises(ManifestError, match=r"motion reads the signals of video .* is missing\. Run split"):
        compare(str(tmp_path), FilterParams(**BOTH, reduce=["motion=min"]))


def test_reduction_needs_its_filter() -> None:
    FilterPhase(FilterParams(filters=["motion"], reduce=["motion=min"]), "root")
    with pytest.raises(ParamsError, match=r"must name scores that filter\.filters measures"):
        FilterPhase(FilterParams(filters=["size"], reduce=["motion=min"]), "root")
