"""Split end to end: rows, frame store, bad input, memory, resuming."""

import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.errors import ParamsError
from stages.manifest import ManifestRef, read_manifest
from stages.media import frames_key, open_store
from stages.params import ExecutorParams, SplitParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.signals import signals_path
from stages.storage import Storage, digest, stat_source
from stages.tasks import Row, Span
from tests.made_tables import commit_items
from tests.stages.split.counting_splitter import WatchingSplitter
from tests.toned_media import joined, toned_video
from tests.videos import noise_shot, slides, song_with_cover, three_shots, truncated, write_video


def split(root: Path, paths: list[Path], **params: Any) -> PhaseReport:
    """Commit a table of kept videos and run the phase on it."""
    items: list[tuple[str, list[Row]]] = []
    for path in paths:
        info = stat_source(str(path))
        row = {
            "partition": "p",
            "uri": str(path),
            "video_id": digest(str(path), info.etag, length=16),
            "status": "kept",
        }
        facts = {"etag": info.etag, "size_bytes": info.size_bytes, "width": 96, "height": 64, "codec": "h264"}
        items.append((str(path), [{**row, **facts}]))
    commit_items(ManifestRef(str(root), "videos", "p"), items)
    return run(root, **params)


def run(root: Path, **params: Any) -> PhaseReport:
    output = ManifestRef(str(root), "clips", "p")
    inputs = {"videos": [ManifestRef(str(root), "videos", "p")]}
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(SplitParams(max_failed_fraction=1, **params), inputs, [output])["p"]


def clips(root: Path) -> list[Row]:
    return read_manifest(str(root), "clips").to_pylist()


def test_split_makes_a_row_a_clip_and_the_frame_store(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    report = split(tmp_path, [path], min_length_s=1, crop_s=0.2)
    rows = clips(tmp_path)
    assert [(row["start_frame"], row["end_frame"], row["start_s"]) for row in rows] == [
        (0, 70, 0.0),
        (80, 145, 3.2),
        (155, 225, 6.2),
    ]
    middle = rows[1]
    assert (middle["shot_start_pts"], middle["shot_end_pts"], middle["time_base"]) == (38400, 76800, "1/12800")
    assert (middle["start_pts"], middle["end_pts"]) == (80 * 512, 145 * 512)
    assert min(middle["start_probability"], middle["end_probability"]) > 0.4
    assert (middle["starts_at_cut"], middle["video_frames"], middle["error"]) == (True, 225, None)
    transitions = [(row["start_transition"], row["end_transition"]) for row in rows]
    assert transitions == [(None, "cut"), ("cut", "cut"), ("cut", None)]
    assert (middle["start_transition_pts"], middle["end_transition_pts"]) == (38400, 76800)
    assert (middle["start_transition_s"], middle["end_transition_s"], rows[0]["start_transition_s"]) == (0, 0, None)
    assert (middle["width"], middle["codec"], middle["method"]) == (96, "h264", "shots")
    assert 0.1 < middle["flow_mean"] <= middle["flow_p95"] < 0.5
    with open_store(Storage(tmp_path), "p", middle["video_id"]) as store:
        assert store.key == middle["frames_key"] == frames_key(middle["video_id"], 2, 448)
    assert report.counters["decoded_frames"] == 225


def test_split_counts_frames_while_it_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchingSplitter, "seen", [])
    method = "tests.stages.split.counting_splitter:WatchingSplitter"
    report = split(tmp_path, [three_shots(tmp_path / "a.mp4")], method=method)
    # The decoder is at most 150 frames ahead of the splitter, which gets 50 at a time.
    assert all(min(225, 50 * (number + 1)) <= seen <= 225 for number, seen in enumerate(WatchingSplitter.seen))
    assert WatchingSplitter.seen[0] < 225
    assert report.counters["decoded_frames"] == 225


def test_split_ids_hang_on_video_and_span_alone(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    split(tmp_path / "one", [path], method="fixed_stride", clip_length_s=3)
    split(tmp_path / "two", [path, slides(tmp_path / "b.mp4")], method="fixed_stride", clip_length_s=3, frames_fps=1)
    first = [row["clip_id"] for row in clips(tmp_path / "one")]
    assert first == [row["clip_id"] for row in clips(tmp_path / "two") if row["uri"] == str(path)]
    row = clips(tmp_path / "one")[1]
    assert row["clip_id"] == digest(row["video_id"], "38400", "76800", "1/12800", length=20)


def test_split_again_computes_nothing(tmp_path: Path) -> None:
    split(tmp_path, [slides(tmp_path / "a.mp4"), song_with_cover(tmp_path / "b.mp4")], method="fixed_stride")
    report = run(tmp_path, method="fixed_stride")
    assert (report.items, report.reused, report.computed) == (2, 2, 0)
    assert run(tmp_path, method="fixed_stride", min_length_s=3).computed == 2


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        pytest.param(
            "shots",
            {"threshold": 0.9, "static_threshold": 0, "min_length_s": 0.5, "max_length_s": 1.5, "crop_s": 0.04},
            marks=pytest.mark.system,
        ),
        pytest.param(
            "shots",
            {"max_length_mode": "truncate", "max_clips": 2, "snap_to_keyframes": True, "max_length_s": 4},
            marks=pytest.mark.system,
        ),
        ("fixed_stride", {"clip_length_s": 1.5, "stride_s": 0.5, "min_length_s": 0}),
    ],
)
def test_video_is_cut_anew_without_being_decoded(tmp_path: Path, method: str, changed: dict[str, Any]) -> None:
    path = three_shots(tmp_path / "a.mp4")
    before = {"min_length_s": 1, "crop_s": 0.2} if method == "shots" else {"clip_length_s": 3, "min_length_s": 1}
    split(tmp_path / "root", [path], method=method, **before)
    report = run(tmp_path / "root", method=method, **{**before, **changed})
    fresh = split(tmp_path / "fresh", [path], method=method, **{**before, **changed})
    assert (report.computed, report.counters.get("decoded_frames"), report.counters["recut_videos"]) == (1, None, 1)
    assert fresh.counters["decoded_frames"] == 225
    assert clips(tmp_path / "root") == clips(tmp_path / "fresh")


@pytest.mark.parametrize(
    "changed", [{"frames_fps": 4}, {"signals": ["vectors"]}, pytest.param({"compat": "nemo"}, marks=pytest.mark.system)]
)
def test_what_a_decode_depends_on_decodes_again(tmp_path: Path, changed: dict[str, Any]) -> None:
    method = "shots" if "compat" in changed else "fixed_stride"
    split(tmp_path, [three_shots(tmp_path / "a.mp4")], method=method)
    assert run(tmp_path, method=method, **changed).counters["decoded_frames"] == 225
    assert run(tmp_path, method=method, **changed, min_length_s=1).counters["recut_videos"] == 1


def test_video_whose_signals_are_gone_is_decoded_again(tmp_path: Path) -> None:
    split(tmp_path, [three_shots(tmp_path / "a.mp4")], method="fixed_stride")
    [row] = {(row["video_id"], row["signals_key"]) for row in clips(tmp_path)}
    os.remove(tmp_path / signals_path("p", *row))
    assert run(tmp_path, method="fixed_stride", min_length_s=1).counters["decoded_frames"] == 225
    assert (tmp_path / signals_path("p", *row)).exists()


def test_splitter_that_stores_nothing_decodes_each_time(tmp_path: Path) -> None:
    method = "tests.stages.split.counting_splitter:CountingSplitter"
    split(tmp_path, [three_shots(tmp_path / "a.mp4")], method=method)
    assert run(tmp_path, method=method, crop_s=0.1).counters["decoded_frames"] == 225


def tiny(path: Path) -> Path:
    return write_video(path, noise_shot(1, 60, width=16, height=8))


def one_frame(path: Path) -> Path:
    return write_video(path, noise_shot(1, 1))


def broken_at_once(path: Path) -> Path:
    return truncated(three_shots(path.with_name("whole.mp4")), path, share=0.25)


@pytest.mark.parametrize(
    ("make", "status", "reason", "error"),
    [
        (tiny, "rejected", "too_small", "16x8 pixels, both sides must be at least 16"),
        (one_frame, "rejected", "too_short", "lasts 0.040 s, split.min_length_s is 2.0 s"),
        (song_with_cover, "failed", "no_video_stream", "must hold a video stream"),
        (broken_at_once, "failed", "corrupt_stream", "breaks before its first frame"),
    ],
)
def test_split_gives_a_video_without_clips_one_row(
    tmp_path: Path, make: Callable[[Path], Path], status: str, reason: str, error: str
) -> None:
    path = make(tmp_path / "a.mp4")
    split(tmp_path, [path], method="fixed_stride")
    (row,) = clips(tmp_path)
    assert (row["uri"], row["clip_id"], row["status"], row["reason"]) == (str(path), None, status, reason)
    assert error in row["error"]


def test_split_keeps_what_lies_before_a_fault(tmp_path: Path) -> None:
    path = truncated(three_shots(tmp_path / "a.mp4"), tmp_path / "b.mp4", share=0.8)
    split(tmp_path, [path], method="fixed_stride", clip_length_s=2, min_length_s=0)
    rows = clips(tmp_path)
    assert len(rows) > 1
    assert {row["status"] for row in rows} == {"kept"}
    assert [row["error"] for row in rows[:-1]] == [None] * (len(rows) - 1)
    assert "CorruptStream: The video stream breaks after PTS" in rows[-1]["error"]
    assert rows[-1]["end_is_keyframe"]


def test_split_keeps_a_broken_video_of_others(tmp_path: Path, shared_media: Path) -> None:
    split(tmp_path, [shared_media / "bad_bitstream_error.mp4"], method="fixed_stride")
    rows = clips(tmp_path)
    # The ffmpeg command decodes 49 frames, all but number 30; frame 29 is decoded after that. Only 0 is a keyframe.
    assert [(row["status"], row["start_frame"], row["end_frame"]) for row in rows] == [
        ("kept", 0, 29),
        ("kept", 29, 49),
    ]
    assert [(row["damaged_frames"], row["missing_frames"]) for row in rows] == [(0, 0), (20, 1)]
    assert "CorruptStream: The video stream is damaged" in rows[-1]["error"]


def test_split_rejects_a_source_that_changed(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    split(tmp_path, [path], method="fixed_stride")
    path.write_bytes(b"something else")
    run(tmp_path, method="fixed_stride", clip_length_s=3)
    (row,) = clips(tmp_path)
    assert (row["status"], row["reason"]) == ("rejected", "superseded")


def test_split_takes_a_source_that_was_put_back(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    listed = path.stat()
    split(tmp_path, [path], method="fixed_stride")
    os.utime(path, ns=(0, 0))
    run(tmp_path, method="fixed_stride", clip_length_s=3)
    os.utime(path, ns=(listed.st_atime_ns, listed.st_mtime_ns))
    run(tmp_path, method="fixed_stride", clip_length_s=3)
    assert {row["status"] for row in clips(tmp_path)} == {"kept"}


def test_split_tries_again_a_source_that_was_gone(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    split(tmp_path, [path], method="fixed_stride")
    path.rename(tmp_path / "away.mp4")
    run(tmp_path, method="fixed_stride", clip_length_s=3)
    assert [(row["status"], row["reason"]) for row in clips(tmp_path)] == [("failed", "gone")]
    (tmp_path / "away.mp4").rename(path)
    assert run(tmp_path, method="fixed_stride", clip_length_s=3).counts["kept"] == 3


def test_split_caps_the_clips_of_a_video(tmp_path: Path) -> None:
    split(tmp_path, [three_shots(tmp_path / "a.mp4")], method="fixed_stride", clip_length_s=2, max_clips=2)
    assert [row["start_frame"] for row in clips(tmp_path)] == [0, 50]


def test_split_takes_a_detector_of_ones_own(tmp_path: Path) -> None:
    detector = "tests.stages.split.fixed_detector:FixedDetector"
    split(tmp_path, [three_shots(tmp_path / "a.mp4")], detector=detector, min_length_s=1, crop_s=0.2)
    first, second = clips(tmp_path)
    names = ("start_frame", "end_frame", "shot_start_pts", "shot_end_pts", "end_transition", "end_transition_pts")
    assert [first[name] for name in names] == [0, 65, 0, 70 * 512, "dissolve", 80 * 512]
    assert [second[name] for name in names] == [85, 195, 80 * 512, 200 * 512, "fade", 225 * 512]
    assert (second["start_transition"], second["start_transition_pts"]) == ("dissolve", 70 * 512)
    assert (first["end_transition_s"], second["start_transition_s"], second["end_transition_s"]) == (0.4, 0.4, 1.0)
    assert (first["end_probability"], second["end_probability"]) == (0.75, 0.5)


@pytest.mark.system
def test_split_decodes_anew_for_another_detector(tmp_path: Path) -> None:
    split(tmp_path, [three_shots(tmp_path / "a.mp4")])
    report = run(tmp_path, detector="tests.stages.split.fixed_detector:FixedDetector")
    assert (report.computed, report.counters["decoded_frames"]) == (1, 225)


def test_split_rejects_an_unknown_detector(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="detector must be one of transnetv2, or a class"):
        split(tmp_path, [three_shots(tmp_path / "a.mp4")], detector="transnet")


def test_split_rejects_an_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="splitter must be one of"):
        split(tmp_path, [three_shots(tmp_path / "a.mp4")], method="scissors")


def peak_bytes(root: Path, path: Path) -> int:
    tracemalloc.start()
    split(root, [path], method="tests.stages.split.counting_splitter:CountingSplitter", signals=["flow", "vectors"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.system
def test_split_holds_no_more_of_a_longer_video(tmp_path: Path) -> None:
    shot = noise_shot(1, 96)
    paths = [write_video(tmp_path / f"{rounds}.mp4", shot * rounds) for rounds in (4, 4, 24)]
    peaks = [peak_bytes(tmp_path / str(number), path) for number, path in enumerate(paths)]
    # The first pays for imports. 1920 frames more cost their signals, some 600 bytes each (8 thumbnails and hashes a
    # second among them), not a picture each (4 kB, or 18 kB whole).
    assert peaks[2] - peaks[1] < 1_500_000


def test_split_phase_is_light_to_import() -> None:
    code = (
        "import sys; from stages.params import SplitParams; from stages.split.phase import SplitPhase\n"
        "SplitPhase(SplitParams(), '/nowhere').pipeline().build(), SplitPhase(SplitParams(), '/nowhere').identity()\n"
        "sys.exit(str({'av', 'torch', 'cv2'} & set(sys.modules)) if {'av', 'torch', 'cv2'} & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_split_ends_a_clip_where_the_picture_changes_its_size(tmp_path: Path) -> None:
    """Two shapes alternate, as where a phone is turned; the third piece is too short for a clip."""
    sizes, lengths = ((160, 96), (96, 160), (160, 96), (96, 160)), (75, 75, 10, 75)
    pieces = [
        toned_video(tmp_path / f"{piece}.ts", length, size=size, audio_codec=None, starts_s=sum(lengths[:piece]) / 25)
        for piece, (size, length) in enumerate(zip(sizes, lengths, strict=True))
    ]
    path = joined(tmp_path / "joined.ts", pieces)
    split(tmp_path, [path], method="fixed_stride", min_length_s=1)
    rows = clips(tmp_path)
    assert [(row["start_frame"], row["end_frame"]) for row in rows] == [(0, 75), (75, 150), (160, 235)]
    assert [(row["width"], row["height"]) for row in rows] == [(160, 96), (96, 160), (96, 160)]
    assert [(row["shot_end_pts"] - row["shot_start_pts"]) / 90_000 for row in rows] == [3, 3, 3]
    assert {row["num_restarts"] for row in rows} == {0}
    with open_store(Storage(tmp_path), "p", rows[0]["video_id"]) as store:
        for row in rows:
            span = Span(row["start_pts"], row["end_pts"], Fraction(1, 90_000))
            stored = [Image.open(io.BytesIO(jpeg)).size for jpeg in store.jpegs(store.within(span, span))]
            assert set(stored) == {(row["width"], row["height"])}


def test_split_ends_a_clip_where_the_pixel_aspect_changes(tmp_path: Path) -> None:
    pieces = [
        toned_video(
            tmp_path / f"{piece}.ts",
            50,
            audio_codec=None,
            starts_s=2 * piece,
            options={"g": "25", "bf": "2", "x264-params": f"sar={aspect}"},
        )
        for piece, aspect in enumerate(("1/1", "4/3"))
    ]
    split(tmp_path, [joined(tmp_path / "joined.ts", pieces)], method="fixed_stride", min_length_s=1)
    rows = clips(tmp_path)
    assert [(row["start_frame"], row["end_frame"], row["width"]) for row in rows] == [(0, 50, 96), (50, 100, 128)]
