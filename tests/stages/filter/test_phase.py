import importlib
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.errors import ParamsError, PhaseError
from stages.filter.phase import COPIED_COLUMNS, FilterPhase, build_filters
from stages.manifest import ManifestRef, read_manifest
from stages.params import PHASES, ExecutorParams, FilterParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.run.phases import PHASE_CLASSES
from stages.tasks import Row
from tests.clips import PARTITION, clip_row, commit_rows
from tests.stages.filter.synthetic_clips import ordinary
from tests.videos import write_video

CUSTOM_FILTER = "tests.stages.filter.custom_filter:WarmthFilter"
PLAIN = FilterParams(duration_min_s=1.0, motion_min=0.01, max_failed_fraction=1)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s that move, 2 s that stand still, 1 s of black."""
    moving, still = ordinary() * 10, [ordinary()[0]] * 50
    black = [ordinary()[0] * 0] * 25
    return write_video(tmp_path_factory.mktemp("videos") / "a.mp4", [*moving[:75], *still, *black])


def rows_of(video: Path) -> list[Row]:
    return [
        clip_row(video, 0, 75),
        clip_row(video, 75, 125),
        clip_row(video, 125, 150),
        clip_row(video, 0, 20),
        clip_row(video, 10, 70, flow_mean=0.001),
        clip_row(video, 5, 75, flow_mean=None, status="kept"),
        clip_row(video, 3, 75, status="rejected", reason="too_short"),
    ]


def run(root: Path, params: FilterParams, rows: list[Row] | None = None) -> PhaseReport:
    clips = ManifestRef(str(root), "clips", PARTITION) if rows is None else commit_rows(root, "clips", rows)
    output = ManifestRef(str(root), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(params, {"clips": [clips]}, [output])[PARTITION]


def outcomes(root: Path) -> dict[tuple[int, int], tuple[str, str | None]]:
    rows = read_manifest(str(root), "filtered_clips").to_pylist()
    return {(row["start_frame"], row["end_frame"]): (row["status"], row["reason"]) for row in rows}


def test_filter_gives_every_kept_clip_scores_and_an_outcome(tmp_path: Path, video: Path) -> None:
    report = run(tmp_path, PLAIN, rows_of(video))
    assert outcomes(tmp_path) == {
        (0, 75): ("kept", None),
        (75, 125): ("rejected", "frozen"),
        (125, 150): ("rejected", "black"),
        (0, 20): ("rejected", "duration"),
        (10, 70): ("rejected", "motion"),
        (5, 75): ("kept", None),
    }
    assert (report.items, report.computed, report.missing) == (6, 6, 0)
    assert report.counters == {"rebuilt_frame_stores": 1, "decoded_frames": 150}


def test_filter_rows_carry_the_clip_and_say_what_was_measured(tmp_path: Path, video: Path) -> None:
    rows = rows_of(video)
    run(tmp_path, PLAIN, rows)
    stored = {row["clip_id"]: row for row in read_manifest(str(tmp_path), "filtered_clips").to_pylist()}
    slow = stored[rows[4]["clip_id"]]
    assert {name: slow[name] for name in COPIED_COLUMNS} == {name: rows[4].get(name) for name in COPIED_COLUMNS}
    assert slow["error"] == "motion must be at least 0.01 (filter.motion_min), got 0.001."
    assert dict(slow["thresholds"])["motion_min"] == 0.01
    scores = dict(slow["scores"])
    assert set(scores) == {
        *(
            "damage",
            "damage_sound",
            "size_width_px",
            "size_height_px",
            "duration",
            "motion",
            "camera_motion",
            "camera_speed",
            "black",
        ),
        *("frozen", "letterbox", "sharpness", "exposure"),
    }
    assert scores["duration"] == 2.4
    assert dict(stored[rows[5]["clip_id"]]["scores"])["motion"] is None


def test_filter_decides_again_without_working_again_when_a_threshold_changes(tmp_path: Path, video: Path) -> None:
    copy = Path(shutil.copy(video, tmp_path / "copy.mp4"))
    run(tmp_path, PLAIN, rows_of(copy))
    first = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    copy.unlink()  # deciding needs neither the source nor its pictures
    shutil.rmtree(tmp_path / "frames")
    report = run(tmp_path, PLAIN.model_copy(update={"motion_min": 0.0001, "black_max": 1.0, "frozen_max": 0.7}))
    assert (report.redecided, report.computed, report.reused) == (6, 0, 0)
    assert outcomes(tmp_path)[10, 70] == ("kept", None)
    assert outcomes(tmp_path)[125, 150] == ("rejected", "frozen")
    again = run(tmp_path, PLAIN)
    assert (again.redecided, again.computed, again.reused) == (0, 0, 6)
    assert read_manifest(str(tmp_path), "filtered_clips").to_pylist() == first


@pytest.mark.parametrize(("score_only", "kept"), [(["motion"], 3), (["motion", "duration"], 4), (["all"], 6), ([], 2)])
def test_filter_keeps_what_only_score_only_filters_refuse(
    tmp_path: Path, video: Path, score_only: list[str], kept: int
) -> None:
    run(tmp_path, PLAIN.model_copy(update={"score_only": score_only}), rows_of(video))
    assert sum(status == "kept" for status, _ in outcomes(tmp_path).values()) == kept


def test_filter_loads_no_frames_where_no_filter_needs_them(tmp_path: Path, video: Path) -> None:
    report = run(tmp_path, FilterParams(filters=["motion", "size", "motion_vectors"]), rows_of(video))
    assert (list(report.stages), report.counters) == (["score"], {})


def test_filter_fails_clips_whose_frames_cannot_be_read(tmp_path: Path, video: Path) -> None:
    copy = Path(shutil.copy(video, tmp_path / "copy.mp4"))
    rows = rows_of(copy)
    copy.unlink()
    run(tmp_path, PLAIN, rows)
    assert set(outcomes(tmp_path).values()) == {("failed", "gone")}
    assert read_manifest(str(tmp_path), "filtered_clips")["scores"].null_count == 6


def test_filter_runs_a_class_of_the_users_own(tmp_path: Path, video: Path) -> None:
    custom: list[dict[str, Any]] = [{"filter": CUSTOM_FILTER, "warmth_min": 50.0, "weight": 2.0}]
    params = FilterParams(filters=["size", CUSTOM_FILTER], custom=custom)
    run(tmp_path, params, rows_of(video)[:1])
    (row,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    assert (row["status"], row["reason"], dict(row["thresholds"])["warmth_min"]) == ("rejected", "warmth", 50.0)
    assert 0 < dict(row["scores"])["warmth"] < 50
    identity = FilterPhase(params, str(tmp_path)).identity()
    assert identity.pop("warmth's code").startswith("source ")
    assert identity == {"warmth": {"weights": "abc"}}


OVERLAY = """from stages.filter import Filter, Limit

class TextOverlay(Filter):
    name = "text_overlay"
    overlay_min = 0.5
    limits = (Limit("{limited}", "overlay_min", "min"),)

    def score(self, clip):
        return {score}
"""


@pytest.fixture
def write_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Writes the module `overlay_of_test` with a user's own filter, as an editor does between two runs."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(score: str, limited: str = "text_overlay") -> None:
        (tmp_path / "overlay_of_test.py").write_text(OVERLAY.format(score=score, limited=limited))
        sys.modules.pop("overlay_of_test", None)
        importlib.invalidate_caches()
        # Python takes the compiled file for one of equal size and of the same second.
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)

    yield write
    sys.modules.pop("overlay_of_test", None)


def test_filter_whose_code_changed_scores_again_and_says_why(
    tmp_path: Path, video: Path, write_overlay: Callable[..., None]
) -> None:
    params = FilterParams(filters=["overlay_of_test:TextOverlay"])
    write_overlay("0.9")
    rows = rows_of(video)
    assert run(tmp_path / "root", params, rows).counts["kept"] == 6
    assert run(tmp_path / "root", params, rows).reused == 6
    write_overlay("0.1")
    report = run(tmp_path / "root", params, rows)
    assert (report.computed, report.reused, report.counts["rejected"]) == (6, 0, 6)
    (change,) = report.changes
    assert re.fullmatch("filter: text_overlay's code changed from source [0-9a-f]+ to source [0-9a-f]+", change)
    write_overlay("0.9")
    report = run(tmp_path / "root", params, rows)
    assert (report.computed, report.reused, report.counts["kept"], len(report.changes)) == (0, 6, 6, 1)


def test_filter_that_bounds_a_score_which_it_never_returns_keeps_nothing(
    tmp_path: Path, video: Path, write_overlay: Callable[..., None]
) -> None:
    params = FilterParams(filters=["overlay_of_test:TextOverlay"])
    write_overlay("0.9", limited="overlay")
    with pytest.raises(PhaseError, match="got 6 of 6"):
        run(tmp_path / "root", params, rows_of(video))
    errors = {row["error"] for row in read_manifest(str(tmp_path / "root"), "filtered_clips").to_pylist()}
    (error,) = errors
    assert "Filter text_overlay must return each score that it bounds, and returned none called 'overlay'" in error


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"filters": ["sise"]}, "filter must be one of .*got 'sise'"),
        ({"filters": ["tests.nothing:Here"]}, "cannot be imported"),
        ({"filters": ["size", "size"]}, r"once, got \['size'\] twice"),
        ({"filters": ["size"], "score_only": ["motion"]}, r"score_only must be among .*got \['motion'\]"),
        ({"filters": [CUSTOM_FILTER]}, "must fit its constructor: .*warmth_min"),
        ({"custom": [{"filter": CUSTOM_FILTER, "warmth_min": 1}]}, "Add it to filter.filters"),
        ({"filters": ["size"], "custom": [{"filter": "size"}]}, "must hold 'filter'"),
    ],
)
def test_build_filters_rejects_what_it_cannot_build(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        build_filters(FilterParams(**values))


@pytest.mark.parametrize("phase", ["filter", "embed"])
def test_stages_of_the_phase_cross_to_workers(phase: str, tmp_path: Path) -> None:
    built = PHASE_CLASSES[phase](PHASES[phase](), str(tmp_path)).pipeline().build()
    stages, collect = pickle.loads(pickle.dumps((built.stages, built.collect)))
    assert [stage.name for stage in stages] == [stage.name for stage in built.stages]
    assert callable(collect)


@pytest.mark.parametrize("phase", ["filter", "embed"])
def test_building_the_phase_imports_no_codec_and_no_network(phase: str) -> None:
    code = (
        "import sys; from stages.run.phases import PHASE_CLASSES; from stages.params import PHASES;"
        f"PHASE_CLASSES['{phase}'](PHASES['{phase}'](), '.').pipeline().build();"
        "print([name for name in ('torch', 'av', 'cv2', 'transformers', 'faiss', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_filter_decides_again_when_other_camera_motions_are_rejected(tmp_path: Path, video: Path) -> None:
    rows = [clip_row(video, 0, 60, camera_motion="pan", camera_speed=0.1)]
    run(tmp_path, FilterParams(filters=["camera"], max_failed_fraction=1), rows)
    report = run(tmp_path, FilterParams(filters=["camera"], camera_rejected=["pan"], max_failed_fraction=1), rows)
    assert (report.redecided, report.computed) == (1, 0)
    assert outcomes(tmp_path)[0, 60] == ("rejected", "camera")
