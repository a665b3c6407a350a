"""A clip is measured once, by each filter, and judged however often filters and thresholds change."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stages.errors import ParamsError
from stages.filter import Filter, Limit, Scores
from stages.filter.phase import build_filters
from stages.filter.reductions import parse_reductions, reduced
from stages.manifest import ManifestRef, read_manifest
from stages.params import ExecutorParams, FilterParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.tasks import Clip, Row
from tests.clips import PARTITION, clip_row, commit_rows
from tests.stages.filter.synthetic_clips import ordinary
from tests.videos import write_video

COUNTING = "tests.stages.filter.test_judging_again:CountingFilter"


class CountingFilter(Filter):
    """Counts how often it is asked, in this process."""

    name = "counting"
    version = "1"
    limits = (Limit("counting_length", "length_max", "max"),)
    reductions: ClassVar[Mapping[str, str]] = {"counting_numbers": "max"}
    calls: ClassVar[list[str]] = []

    def __init__(self, length_max: float = 100, factor: float = 1.0) -> None:
        self.length_max, self.factor = length_max, factor

    def score(self, clip: Clip) -> Scores:
        self.calls.append(clip.clip_id)
        return {"counting_length": self.factor * clip.num_frames, "counting_numbers": np.arange(clip.num_frames) / 2}


@pytest.fixture(autouse=True)
def calls() -> Iterator[list[str]]:
    CountingFilter.calls.clear()
    yield CountingFilter.calls
    CountingFilter.calls.clear()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    video = write_video(tmp_path_factory.mktemp("videos") / "a.mp4", (ordinary() * 10)[:100])
    return [clip_row(video, 0, 30), clip_row(video, 30, 60), clip_row(video, 60, 100)]


def run(root: Path, rows: list[Row], **params: Any) -> PhaseReport:
    clips = commit_rows(root, "clips", rows)
    output = ManifestRef(str(root), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(FilterParams(**params), {"clips": [clips]}, [output])[PARTITION]


def table(root: Path) -> list[Row]:
    return read_manifest(str(root), "filtered_clips").to_pylist()


def custom(**arguments: Any) -> list[dict[str, Any]]:
    return [{"filter": COUNTING, **arguments}]


def work(report: PhaseReport) -> tuple[int, int, int]:
    return report.computed, report.redecided, report.reused


def test_only_a_filter_that_is_new_scores(tmp_path: Path, rows: list[Row], calls: list[str]) -> None:
    run(tmp_path / "root", rows, filters=["duration", COUNTING, "black"])
    assert len(calls) == 3
    added = ["exposure", "duration", COUNTING, "size", "black"]
    report = run(tmp_path / "root", rows, filters=added)
    assert (work(report), len(calls)) == ((3, 0, 0), 3)
    assert report.changes == ["filter.filters: added exposure, size"]
    run(tmp_path / "fresh", rows, filters=added)
    assert table(tmp_path / "root") == table(tmp_path / "fresh")


def test_pictures_are_loaded_only_for_filters_that_have_not_scored(tmp_path: Path, rows: list[Row]) -> None:
    first = run(tmp_path, rows, filters=["black"])
    assert first.counters["rebuilt_frame_stores"] == 1
    (store,) = (tmp_path / "frames").rglob("*.parquet")
    store.unlink()
    assert "rebuilt_frame_stores" not in run(tmp_path, rows, filters=["black", COUNTING]).counters
    assert run(tmp_path, rows, filters=["exposure", "black"]).counters["rebuilt_frame_stores"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"filters": ["black", COUNTING]},
        {"filters": [COUNTING, "black", "duration"]},
        {"filters": ["black"]},
        {"black_max": 0.1, "score_only": ["black"]},
        {"custom": custom(length_max=35)},
        {"reduce": ["counting_numbers=min", "black=p90"]},
    ],
)
def test_clips_are_judged_again_without_being_measured(
    tmp_path: Path, rows: list[Row], calls: list[str], changed: dict[str, Any]
) -> None:
    before = {"filters": ["duration", COUNTING, "black"]}
    run(tmp_path / "root", rows, **before)
    calls.clear()
    report = run(tmp_path / "root", rows, **{**before, **changed})
    assert (work(report), calls) == ((0, 3, 0), [])
    run(tmp_path / "fresh", rows, **{**before, **changed})
    assert table(tmp_path / "root") == table(tmp_path / "fresh")
    assert work(run(tmp_path / "root", rows, **before)) == (0, 0, 3)


def test_argument_that_is_no_threshold_scores_again(tmp_path: Path, rows: list[Row], calls: list[str]) -> None:
    filters = ["black", COUNTING]
    run(tmp_path, rows, filters=filters, custom=custom(length_max=35))
    assert [row["reason"] for row in table(tmp_path)] == [None, None, "counting"]
    report = run(tmp_path, rows, filters=filters, custom=custom(length_max=35, factor=2))
    assert (work(report), len(calls)) == ((3, 0, 0), 6)
    assert {row["reason"] for row in table(tmp_path)} == {"counting"}


def test_row_key_is_that_of_the_score_keys_in_any_order(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, filters=["size", "duration"])
    before = {row["row_key"]: dict(row["score_keys"]) for row in table(tmp_path)}
    run(tmp_path, rows, filters=["duration", "size"])
    assert {row["row_key"]: dict(row["score_keys"]) for row in table(tmp_path)} == before
    run(tmp_path, rows, filters=["duration"])
    assert before.keys().isdisjoint(row["row_key"] for row in table(tmp_path))


def test_scores_of_pictures_are_stored_and_reduced(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows[:1], filters=[COUNTING])
    (row,) = table(tmp_path)
    assert dict(row["picture_scores"]) == {"counting_numbers": [number / 2 for number in range(30)]}
    assert dict(row["scores"]) == {"counting_length": 30, "counting_numbers": 14.5}
    run(tmp_path, rows[:1], filters=[COUNTING], reduce=["counting_numbers=median"])
    assert dict(table(tmp_path)[0]["scores"])["counting_numbers"] == 7.25


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("mean", 4.0), ("min", 1.0), ("max", 10.0), ("median", 3.0), ("p0", 1.0), ("p25", 2.0), ("p100", 10.0)],
)
def test_reductions_are_the_textbook_ones(reduction: str, expected: float) -> None:
    assert reduced([4.0, 2.0, 10.0, 1.0, 3.0], reduction) == expected
    assert reduced([], reduction) is None


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["exposure"], "entries such as 'exposure=p90', got 'exposure'"),
        (["exposure=mode"], "mean, min, max, median or a percentile from p0 to p100, got 'exposure=mode'"),
        (["exposure=p101"], "p0 to p100"),
        (["exposure=meen"], "Did you mean mean"),
        (["exposure=min", "exposure=max"], "once, got 'exposure' twice"),
    ],
)
def test_reductions_that_are_none_are_refused(entries: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_reductions(entries)


def test_reduction_of_a_score_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"picture by picture, .*got 'exposur'. Did you mean"):
        run(tmp_path, [], reduce=["exposur=min"])
    assert build_filters(FilterParams(reduce=["counting_numbers=min"], filters=[COUNTING]))
