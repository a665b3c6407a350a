"""The caption phase on real frames: a row a window, keys, and windows that fail alone."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stages.caption.stage import sample_clip
from stages.caption.windows import sample_window
from stages.errors import ParamsError
from stages.manifest import ManifestRef, read_manifest
from stages.media import LoadFramesStage
from stages.media.load_frames import FrameSelector
from stages.params import CaptionParams, ExecutorParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.tasks import Frames, Row
from tests.clips import PARTITION, WORKER, clip_row, commit_rows, video_task
from tests.videos import three_shots

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
    assert first["model"] == "measured:efficientnet-lite0+flow+camera+luma"
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
    report = run(tmp_path, clips, captioner=PARTLY_FAILING, window_frames=20, window_remainder_frames=10, max_frames=2)
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
    assert (rows[0]["weights_hash"], len(rows[0]["prompt_id"])) == (None, 20)
    again = run(tmp_path, clips, captioner=PARTLY_FAILING, window_frames=20, window_remainder_frames=10, max_frames=2)
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


def test_caption_loads_only_the_frames_that_windows_need(tmp_path: Path, video: Path) -> None:
    """Of 225 frames 37 are stored. Three windows of two frames load 6 of them, the same as from all."""
    params = CaptionParams(window_frames=75, window_remainder_frames=10, max_frames=2)
    row = clip_row(video, 0, 225)
    every, some = (frames_of(tmp_path, row, select) for select in (None, partial(sample_clip, params)))
    assert (len(every), len(some)) == (37, 6)
    for start in (0, 75, 150):
        assert sampled(some, start, start + 75, 2) == sampled(every, start, start + 75, 2)


def frames_of(root: Path, row: Row, select: FrameSelector | None) -> Frames:
    stage = LoadFramesStage(str(root), select=select)
    stage.setup(WORKER)
    frames = stage.process(video_task(row)).data.clip.frames
    stage.teardown()
    assert frames is not None
    return frames


def sampled(frames: Frames, start: int, end: int, max_frames: int) -> list[int]:
    assert frames.index is not None
    index = frames.index.tolist()
    return [index[position] for position in sample_window(index, start, end, max_frames)]


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
