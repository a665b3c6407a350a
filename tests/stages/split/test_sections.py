"""Long videos in sections: what is stored is that of one pass, byte for byte; what is done stays done."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.manifest import ManifestRef, read_manifest
from stages.media import sections
from stages.params import ExecutorParams, SplitParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.split.analyser import PartRule
from stages.split.section_files import Arrays, read_arrays, write_arrays
from stages.split.section_plan import divide_parts
from stages.split.transnetv2_detector import TransNetV2Detector
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import Storage, digest, stat_source
from stages.tasks import Row
from tests.faults.long_media import repeat_video
from tests.faults.waiting import wait_for
from tests.made_tables import commit_items
from tests.toned_media import remuxed, toned_video
from tests.videos import noise_shot, noisy_video, truncated, write_video

SECTION_S = 2.0
ROWS = "tests.stages.split.measuring_splitters:RowSplitter"
PARTS = "tests.stages.split.measuring_splitters:PartSplitter"
METHODS = {"stride": {"method": "fixed_stride"}, "rows": {"method": ROWS}, "parts": {"method": PARTS}}


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections of short videos, of which more than a fiftieth is decoded twice."""
    monkeypatch.setattr(sections, "MAX_REPEATED_SHARE", 1.0)


def split(root: Path, path: Path, mode: str = "local", **params: Any) -> PhaseReport:
    """Commit a table of one kept video, told to be as long as ten minutes, and run the phase on it."""
    info = stat_source(str(path))
    video_id = digest(str(path), info.etag, length=16)
    facts = {"etag": info.etag, "size_bytes": info.size_bytes, "codec": "h264", "duration_s": 600.0}
    row: Row = {"partition": "p", "uri": str(path), "video_id": video_id, "status": "kept", **facts}
    commit_items(ManifestRef(str(root), "videos", "p"), [(str(path), [row])])
    return run(root, mode, **params)


def run(root: Path, mode: str = "local", **params: Any) -> PhaseReport:
    inputs = {"videos": [ManifestRef(str(root), "videos", "p")]}
    executor = ExecutorParams.model_validate({"mode": mode})
    with open_session(executor) as session:
        params = {"max_failed_fraction": 1, "section_s": SECTION_S, **params}
        return session.run_phase(SplitParams(**params), inputs, [ManifestRef(str(root), "clips", "p")])["p"]


def stored(root: Path) -> tuple[dict[str, bytes], dict[str, bytes], list[Row]]:
    """Signals, frame stores and rows."""
    files = [
        {each.name: each.read_bytes() for each in root.glob(f"{name}/p/*")} for name in ("manifests/signals", "frames")
    ]
    return files[0], files[1], read_manifest(str(root), "clips").to_pylist()


def compared(tmp_path: Path, path: Path, **params: Any) -> PhaseReport:
    """Split in one pass and in sections; both store the same."""
    split(tmp_path / "one", path, "local", **{**params, "section_s": 0})
    report = split(tmp_path / "many", path, **params)
    assert stored(tmp_path / "many") == stored(tmp_path / "one")
    return report


def was_divided(report: PhaseReport) -> bool:
    return "repeated_frames" in report.counters


@pytest.mark.usefixtures("short_sections")
@pytest.mark.parametrize(
    ("name", "rate", "options", "method"),
    [
        ("a.mp4", 25, {"bf": "3", "g": "25"}, "stride"),
        ("a.mkv", 30, {"bf": "2", "g": "7", "keyint_min": "7"}, "parts"),
        ("a.mov", 50, {"bf": "0", "g": "50"}, "rows"),
        ("a.mp4", 12, {"bf": "2", "g": "15", "flags": "+ildct+ilme"}, "rows"),
    ],
)
def test_sections_store_what_one_pass_does(
    name: str, rate: int, options: dict[str, str], method: str, tmp_path: Path
) -> None:
    pictures = [each for seed in (1, 2, 6) for each in noise_shot(seed, 2 * rate + 7, width=272, height=256, speed=3)]
    path = write_video(tmp_path / name, pictures, rate=rate, options={"preset": "ultrafast", **options})
    report = compared(tmp_path, path, signals=["flow", "vectors"], min_length_s=0.5, **METHODS[method])
    assert was_divided(report)
    assert report.counters["decoded_frames"] == len(pictures)


@pytest.mark.usefixtures("short_sections")
def test_sections_of_varying_frame_times_store_what_one_pass_does(tmp_path: Path) -> None:
    steps = np.random.default_rng(4).choice([1, 1, 2, 5, 13], 260)
    path = write_video(
        tmp_path / "a.mp4", noise_shot(3, 260, speed=2), pts=np.cumsum(steps).tolist(), rate=60, options={"g": "13"}
    )
    assert was_divided(compared(tmp_path, path, method=PARTS))


@pytest.mark.usefixtures("short_sections")
def test_sections_with_sound_store_what_one_pass_does(tmp_path: Path) -> None:
    path = toned_video(tmp_path / "a.mkv", 200, missing_s=(2.9, 3.3))
    assert was_divided(compared(tmp_path, path, method=ROWS, signals=["flow", "speech"]))
    assert any(row["sound_damaged_share"] for row in stored(tmp_path / "many")[2])


@pytest.mark.usefixtures("short_sections")
@pytest.mark.parametrize("name", ["leaf_deer_24s.mp4", "screen_editor_60fps.mp4"])
@pytest.mark.system
def test_sections_of_real_videos_store_what_one_pass_does(name: str, tmp_path: Path, shared_media: Path) -> None:
    path = tmp_path / name
    shutil.copyfile(shared_media / name, path)
    assert was_divided(compared(tmp_path, path, min_length_s=1, section_s=4, signals=["flow", "vectors"]))


@pytest.mark.usefixtures("short_sections")
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path, out: truncated(path, out, share=0.7), id="truncated"),
        pytest.param(lambda path, out: with_noise_at(path, out, 0.5), id="changed-bytes"),
        pytest.param(lambda path, out: remuxed(path, out.with_suffix(".ts")), id="no-index"),
    ],
)
def test_videos_that_cannot_be_trusted_are_decoded_in_one_pass(damage: Any, tmp_path: Path) -> None:
    whole = write_video(
        tmp_path / "whole.mp4", noise_shot(3, 200, width=160, height=96, speed=2), options={"g": "25", "bf": "2"}
    )
    compared(tmp_path, damage(whole, tmp_path / "bad.mp4"), method=ROWS, min_length_s=0.5)
    (signals,) = (tmp_path / "many/manifests/signals/p").iterdir()
    assert signals.name.count(".") == 2, "nothing is left of sections"


def with_noise_at(path: Path, out: Path, share: float) -> Path:
    data = bytearray(path.read_bytes())
    start = int(share * data.index(b"moov"))
    data[start : start + 400] = np.random.default_rng(1).bytes(400)
    out.write_bytes(data)
    return out


@pytest.fixture
def left_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what was done of eight sections when the run was interrupted, before they were joined."""
    path = write_video(tmp_path / "a.mp4", noise_shot(3, 400, speed=2), options={"g": "25"})
    split(tmp_path / "one", path, method=PARTS, section_s=0)
    with monkeypatch.context() as patch:
        patch.setattr(sections, "MAX_REPEATED_SHARE", 1.0)
        patch.setattr("stages.split.section_join.SectionJoin.add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            split(tmp_path / "many", path, method=PARTS)
    return tmp_path / "many/manifests/signals/p"


def test_what_is_done_of_sections_is_not_done_again(left_in_the_middle: Path, tmp_path: Path) -> None:
    left = {each.name.split(".")[3] for each in left_in_the_middle.iterdir()}
    assert left > {"plan", "hashes", "section-0", "section-7", "measure-0"}
    (lost,) = left_in_the_middle.glob("*.section-3.parquet")
    lost.unlink()
    (damaged,) = left_in_the_middle.glob("*.measure-0.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    report = run(tmp_path / "many", method=PARTS)
    assert report.counters["decoded_frames"] == 50 + 400, "what is gone is done again; what is damaged, in one pass"
    assert stored(tmp_path / "many") == stored(tmp_path / "one")


def test_sections_whose_first_frames_are_others_are_given_up(
    left_in_the_middle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = left_in_the_middle.glob("*.section-3.parquet")
    storage = Storage(tmp_path)
    section = read_arrays(storage, str(path.relative_to(tmp_path)))
    assert section is not None
    others = Arrays({**section.arrays, "checksums": section["checksums"] ^ 1}, section.facts)
    write_arrays(storage, str(path.relative_to(tmp_path)), others)
    with caplog.at_level(logging.INFO, "stages.split"):
        report = run(tmp_path / "many", method=PARTS)
    assert "other frames than the stream" in caplog.text
    assert report.counters["decoded_frames"] == 400
    assert stored(tmp_path / "many") == stored(tmp_path / "one")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("num_frames", "num_parts"), [(1, 3), (799, 2), (800, 2), (9001, 5), (100_000, 60)])
def test_parts_cover_all_frames_and_are_longer_than_what_is_beside_them(num_frames: int, num_parts: int) -> None:
    parts = divide_parts(num_frames, num_parts, PartRule(100, 100))
    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == num_frames
    assert all(start % 100 == 0 for start, _ in parts)
    assert len(parts) == max(1, min(num_parts, num_frames // 400))
    assert len(parts) == 1 or min(end - start for start, end in parts) >= 300


@pytest.mark.system
@pytest.mark.parametrize(
    ("rate", "settings"),
    [(25, {}), (25, {"windows": "published"}), (25, {"compat": "nemo"}), (50, {"dtype": "float32"})],
)
def test_network_measures_parts_as_the_whole(rate: int, settings: dict[str, Any]) -> None:
    """Pictures with cuts, a dissolve and noise; the part begins behind one cut and ends before another."""
    random = np.random.default_rng(5)
    stride = rate // 25
    shots = random.integers(0, 256, (5, 27, 48, 3))
    shown = np.repeat(shots, 90 * stride, axis=0).astype(np.float32)
    fading = np.linspace(0, 1, 40)[:, None, None, None]
    shown[240:280] = (1 - fading) * shots[2] + fading * shots[3]
    pictures = (0.9 * shown + 0.1 * random.integers(0, 256, shown.shape)).astype(np.uint8)
    detector = TransNetV2Detector(SplitParams(**settings))
    detector.setup(WorkerMetadata("w", NodeInfo("n", 1.0, 0.0)))
    rule = detector.part_rule(Fraction(rate))
    whole = measured(detector, rate, pictures)
    start, end = 200 * stride, 300 * stride
    part = measured(detector, rate, pictures[start - rule.reach : end + rule.reach])
    for name, values in whole.items():
        assert np.array_equal(part[name][rule.reach : rule.reach + end - start], values[start:end], equal_nan=True), (
            name
        )


def measured(detector: TransNetV2Detector, rate: int, pictures: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    detector.begin(Fraction(rate))
    for first in range(0, len(pictures), 50):
        detector.push(pictures[first : first + 50])
    return dict(detector.measured())


RUN_ONE = """
import sys
from pathlib import Path
from tests.stages.split.test_sections import METHODS, split
split(Path(sys.argv[1]), Path(sys.argv[2]), **METHODS["rows"], section_s=50)
"""


@pytest.mark.system
def test_killed_run_loses_a_section_and_no_film(tmp_path: Path) -> None:
    """1. The second run decodes no section that was done. 2. Its tables are those of a run that was not disturbed."""
    minute = noisy_video(tmp_path / "minute.mp4", 1250)
    path = repeat_video(minute, tmp_path / "film.mp4", 5)
    folder = tmp_path / "root/manifests/signals/p"
    command = [sys.executable, "-c", RUN_ONE, str(tmp_path / "root"), str(path)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        wait_for(process, lambda: any(folder.glob("*.section-1.parquet")))
        process.send_signal(signal.SIGKILL)
    done = len(list(folder.glob("*.section-*.parquet")))
    assert 2 <= done < 5, "the run was hit in the middle"
    report = run(tmp_path / "root", method=ROWS, section_s=50)
    assert report.counters["decoded_frames"] == 1250 * (5 - done)
    assert report.counters["repeated_frames"] <= 0.02 * 1250 * (5 - done)
    split(tmp_path / "one", path, method=ROWS, section_s=0)
    assert stored(tmp_path / "root") == stored(tmp_path / "one")


@pytest.mark.system
def test_workers_share_a_film(tmp_path: Path, ray_cluster: None) -> None:
    path = repeat_video(
        write_video(tmp_path / "minute.mp4", noise_shot(3, 1250, speed=2), options={"g": "50"}),
        tmp_path / "film.mp4",
        4,
    )
    split(tmp_path / "one", path, method=PARTS, section_s=0)
    report = split(tmp_path / "many", path, mode="streaming", method=PARTS, section_s=50)
    assert stored(tmp_path / "many") == stored(tmp_path / "one")
    assert report.stages["split"].tasks == 4 + 1 + 4 + 1, "sections, hashes, parts, and what is made of all"
