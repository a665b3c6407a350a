"""The caption phase on real frames: a row a window, keys, and windows that fail alone."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages import heartbeat
from stages.caption.loading import LoadWindowsStage
from stages.errors import ParamsError
from stages.manifest import ManifestRef, read_manifest
from stages.params import CaptionParams, ExecutorParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.tasks import Row, VideoTask
from tests.clips import PARTITION, WORKER, clip_row, commit_rows, video_task
from tests.videos import noise_shot, three_shots, write_video

NEMO = {"compat": "nemo", "window_frames": 20, "window_remainder_frames": 10}
PARTLY_FAILING = "tests.stages.caption.custom_captioners:PartlyFailingCaptioner"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_shots(tmp_path_factory.mktemp("source") / "three.mp4")


def run(root: Path, clips: list[Row], **params: Any) -> PhaseReport:
    """Write filtered_clips, caption them in this process, return the report."""
    inputs = {"filtered_clips": [commit_rows(root, "filtered_clips", clips)]}
    output = ManifestRef(str(root), "captions", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(CaptionParams(max_failed_fraction=1, **params), inputs, [output])[PARTITION]


def captions(root: Path) -> list[Row]:
    return read_manifest(str(root), "captions").to_pylist()


def test_caption_writes_a_sentence_of_what_was_measured(tmp_path: Path, video: Path) -> None:
    report = run(tmp_path, [clip_row(video, 0, 75), clip_row(video, 75, 150, flow_mean=0.001)])
    assert (report.items, report.rows, report.counts["kept"]) == (2, 2, 2)
    first, second = sorted(captions(tmp_path), key=lambda row: "nothing" in row["caption"])
    assert "3-second view with steady motion" in first["caption"]
    assert "in which almost nothing moves" in second["caption"]
    assert first["model"] == "measured:flow+camera+light+colours+text+efficientnet-lite0"
    assert len(first["weights_hash"]) == 16
    assert (first["prompt_id"], first["tokens"], first["window_end_frame"]) == (None, None, 75)


def test_caption_reuses_what_the_filters_decide_again(tmp_path: Path, video: Path) -> None:
    run(tmp_path, [clip_row(video, 0, 75)])
    again = run(tmp_path, [clip_row(video, 0, 75, thresholds=[("motion_min", 0.1)], scores=[("motion", 0.2)])])
    assert (again.computed, again.reused, again.commit) == (0, 1, 1)
    moved = run(tmp_path, [clip_row(video, 0, 75, flow_mean=0.5)])
    assert moved.computed == 1
    assert "fast motion" in captions(tmp_path)[0]["caption"]


def test_caption_fails_a_window_alone_and_tries_it_again(tmp_path: Path, video: Path) -> None:
    clips = [clip_row(video, 0, 75)]
    report = run(tmp_path, clips, captioner=PARTLY_FAILING, max_frames=2, **NEMO)
    rows = captions(tmp_path)
    assert [(row["window_start_frame"], row["window_end_frame"]) for row in rows] == [
        (0, 20),
        (20, 40),
        (40, 60),
        (60, 75),
    ]
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("kept", None),
        ("failed", "service"),
        ("failed", "empty_caption"),
        ("kept", None),
    ]
    assert (rows[0]["caption"], rows[0]["tokens"]) == ("2 pictures, 0.8 s, 96 wide", 7)
    assert (rows[1]["error"], rows[1]["caption"]) == ("the line is busy", None)
    assert (rows[0]["weights_hash"], rows[0]["prompt_id"].partition("@")[0]) == (None, "describe")
    again = run(tmp_path, clips, captioner=PARTLY_FAILING, max_frames=2, **NEMO)
    assert (report.computed, again.computed) == (1, 1)


def test_caption_computes_again_with_another_prompt(tmp_path: Path, video: Path) -> None:
    clips = [clip_row(video, 0, 75)]
    run(tmp_path, clips, captioner=PARTLY_FAILING)
    before = captions(tmp_path)[0]["prompt_id"]
    assert run(tmp_path, clips, captioner=PARTLY_FAILING).computed == 0
    report = run(tmp_path, clips, captioner=PARTLY_FAILING, prompt="What moves?")
    assert (report.computed, report.counters.get("decoded_frames")) == (1, None)
    assert captions(tmp_path)[0]["prompt_id"] != before


def test_caption_computes_again_where_the_shot_is_another(tmp_path: Path, video: Path) -> None:
    run(tmp_path, [clip_row(video, 0, 75)])
    assert run(tmp_path, [clip_row(video, 0, 75, shot_end_pts=150 * 512)]).computed == 1


def loaded(root: Path, row: Row, **params: Any) -> VideoTask:
    """The task of a clip after its windows and pictures are loaded."""
    stage = LoadWindowsStage(str(root), CaptionParams(**params))
    stage.setup(WORKER)
    task = stage.process(video_task(row))
    stage.teardown()
    assert isinstance(task, VideoTask)
    return task


def shown_frames(task: VideoTask) -> list[list[int]]:
    """Frame numbers in the clip of the pictures of each window."""
    clip = task.data.clip
    assert clip.frames is not None
    assert clip.frames.index is not None
    return [(clip.frames.index[list(window.pictures)] - clip.start_frame).tolist() for window in clip.windows]


def test_caption_loads_only_the_frames_that_windows_show(tmp_path: Path, video: Path) -> None:
    """Of 225 frames 37 are stored, about one in six. Three windows of two frames load 6 of them."""
    task = loaded(tmp_path, clip_row(video, 0, 225), window_s=3, window_remainder_s=1, max_frames=2)
    assert task.data.clip.frames is not None
    assert len(task.data.clip.frames) == 6
    shown = shown_frames(task)
    assert [len(each) for each in shown] == [2, 2, 2]
    for start, frames in zip((0, 75, 150), shown, strict=True):
        assert all(abs(frame - start - wanted) <= 6 for frame, wanted in zip(frames, (19, 56), strict=True))


def decoded_frames(video: Path, numbers: list[int], height: int | None = None) -> list[np.ndarray]:
    """These frames of a video as PyAV decodes them, RGB."""
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
    return [frames[number].to_ndarray(format="rgb24") for number in numbers]


def test_caption_decodes_the_clip_for_more_pictures_than_are_stored(tmp_path: Path, video: Path) -> None:
    """The store has 4 pictures a second, of 96 pixels; 12 a second are asked for: the middle of each 1/12 second."""
    row = clip_row(video, 75, 150)
    heartbeat.take_counts()
    task = loaded(tmp_path, row, frames_fps=12, max_frames=64)
    counts = heartbeat.take_counts()
    (shown,) = shown_frames(task)
    expected = sorted({min(range(75), key=lambda frame: abs(frame / 25 - (part + 0.5) / 12)) for part in range(36)})
    assert (len(shown), max(abs(a - b) for a, b in zip(shown, expected, strict=True))) == (36, 0)
    assert (counts["decoded_clips"], counts["rebuilt_frame_stores"]) == (1, 1)
    assert counts["decoded_frames"] >= 75
    assert task.data.clip.columns["frames_from"] == "source"
    assert task.data.clip.frames is not None
    truth = decoded_frames(video, [75 + frame for frame in shown])
    assert np.abs(task.data.clip.frames.images.astype(int) - np.stack(truth)).mean() < 3


def test_caption_decodes_the_clip_for_larger_pictures_and_shows_the_same_ones(tmp_path: Path) -> None:
    large = write_video(tmp_path / "large.mp4", noise_shot(3, 75, width=192, height=128))
    row = clip_row(large, 0, 75)
    stored, larger = (loaded(tmp_path, row, max_frames=3, **params) for params in ({}, {"frames_max_px": 160}))
    assert shown_frames(stored) == shown_frames(larger)
    assert [task.data.clip.columns["frames_from"] for task in (stored, larger)] == ["store", "source"]
    for task, longest in ((stored, 96), (larger, 160)):
        assert task.data.clip.frames is not None
        assert max(task.data.clip.frames.images.shape[1:3]) == longest


@pytest.mark.parametrize(
    "params",
    [
        {"frames_max_px": 96},
        {"frames_max_px": 4000},
        {"frames_fps": 4.0},
        {"frames_fps": 25.0, "max_frames": 12},
        {"frames_fps": 1.0},
        {"frames_max_px": 48},
    ],
)
def test_caption_reads_the_store_where_it_has_what_is_asked_for(
    tmp_path: Path, video: Path, params: dict[str, Any]
) -> None:
    """The source is 96 pixels wide, and the store has all of them, four times a second: 12 of the clip."""
    heartbeat.take_counts()
    task = loaded(tmp_path, clip_row(video, 0, 75), **params)
    assert heartbeat.take_counts().get("decoded_clips") is None
    assert task.data.clip.columns["frames_from"] == "store"
    assert task.data.clip.frames is not None
    assert task.data.clip.frames.images.shape[2] == min(96, params.get("frames_max_px", 96))
    assert len(task.data.clip.windows[0].pictures) == {1.0: 3, 25.0: 12, 4.0: 8}.get(params.get("frames_fps", 0), 8)


def test_caption_row_says_where_its_window_is_and_what_was_shown(tmp_path: Path, video: Path) -> None:
    windows: dict[str, Any] = {"window_s": 4, "window_remainder_s": 1, "frames_fps": 25.0, "max_frames": 100}
    report = run(tmp_path, [clip_row(video, 0, 225)], captioner=PARTLY_FAILING, **windows)
    rows = captions(tmp_path)
    assert [(row["window_start_frame"], row["window_end_frame"]) for row in rows] == [(0, 100), (100, 200), (200, 225)]
    assert [(row["window_start_s"], row["window_end_s"]) for row in rows] == [(0.0, 4.0), (4.0, 8.0), (8.0, 9.0)]
    assert [(row["num_shown_frames"], row["frames_from"]) for row in rows] == [
        (100, "source"),
        (100, "source"),
        (25, "source"),
    ]
    assert report.counters["decoded_clips"] == 1


def test_caption_rejects_a_clip_without_window(tmp_path: Path, video: Path) -> None:
    run(tmp_path, [clip_row(video, 0, 3), clip_row(video, 101, 104), clip_row(video, 0, 75)])
    rows = [row for row in captions(tmp_path) if row["status"] == "rejected"]
    assert [row["reason"] for row in rows] == ["no_windows"] * 2
    assert rows[0]["error"] == "A window must have at least 4 frames, got 3."
    assert rows[0]["window_index"] is None


def test_caption_fails_the_clips_of_a_source_that_is_gone(tmp_path: Path, video: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    clips = [clip_row(copy, 0, 75)]
    copy.unlink()
    run(tmp_path, clips)
    assert [(row["status"], row["reason"]) for row in captions(tmp_path)] == [("failed", "gone")]


def test_caption_rejects_unknown_columns(tmp_path: Path, video: Path) -> None:
    with pytest.raises(ParamsError, match=r"must read columns of filtered_clips, got \['beauty'\]"):
        run(
            tmp_path,
            [clip_row(video, 0, 75)],
            captioner="tests.stages.caption.custom_captioners:UnknownColumnCaptioner",
        )
