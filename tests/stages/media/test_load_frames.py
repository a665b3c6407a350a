import contextlib
import os
import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages import heartbeat
from stages.errors import Reason, StageError
from stages.executors.batch_runner import BatchResult, run_batch
from stages.media.frame_loader import FrameLoader
from stages.media.frame_store import open_store, store_path
from stages.media.frames import rebuild_store
from stages.media.load_frames import LoadFramesStage
from stages.storage import Storage
from stages.tasks import Failed, Frames, Row, Task, VideoTask
from tests.clips import FPS, MAX_PX, PARTITION, WORKER, clip_row, video_task
from tests.videos import three_shots


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_shots(tmp_path_factory.mktemp("videos") / "three.mp4")


def load(root: Path, rows: list[Row], *, max_frames: int | None = None) -> BatchResult:
    stage = LoadFramesStage(str(root), max_frames=max_frames)
    stage.setup(WORKER)
    tasks: list[Task] = [video_task(row) for row in rows]
    try:
        return run_batch(stage, tasks)
    finally:
        stage.teardown()


def frames_of(result: object) -> Frames:
    (task,) = cast(list[VideoTask], result)
    frames = task.data.clip.frames
    assert frames is not None
    return frames


def make_store(root: Path, row: Row) -> Path:
    rebuild_store(Storage(root), row["uri"], PARTITION, row["video_id"], fps=FPS, max_px=MAX_PX).close()
    return root / store_path(PARTITION, row["video_id"])


def test_load_frames_takes_the_pictures_of_the_span_from_the_store(tmp_path: Path, video: Path) -> None:
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150)]
    make_store(tmp_path, rows[0])
    done = load(tmp_path, rows)
    first, second = (frames_of(result) for result in done.results)
    assert first.images.shape[1:] == (64, 96, 3)
    assert first.images.dtype == np.uint8
    assert rows[0]["start_pts"] <= first.pts.min() <= first.pts.max() < rows[0]["end_pts"]
    assert second.pts.min() >= rows[1]["start_pts"]
    assert second.index is not None
    assert second.index.tolist() == (second.pts // 512).tolist()
    assert (len(first), len(second)) == (12, 12)
    assert "decoded_frames" not in done.counters


def test_load_frames_gives_rgb(tmp_path: Path, video: Path) -> None:
    row = clip_row(video, 0, 75)
    make_store(tmp_path, row)
    picture = frames_of(load(tmp_path, [row]).results[0]).images[0]
    random = np.random.default_rng(1)
    tint = random.integers(40, 200, 3) + 28  # as tests.videos.noise_shot draws it, with half of its texture
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), tint, atol=12)


def test_load_frames_spreads_a_limited_number_over_the_clip(tmp_path: Path, video: Path) -> None:
    row = clip_row(video, 0, 75)
    make_store(tmp_path, row)
    every = frames_of(load(tmp_path, [row]).results[0])
    some = frames_of(load(tmp_path, [row], max_frames=3).results[0])
    assert some.pts.tolist() == every.pts[[2, 6, 10]].tolist()


def test_load_frames_takes_the_nearest_of_the_shot_for_a_clip_between_pictures(tmp_path: Path, video: Path) -> None:
    row = clip_row(video, 76, 78, shot_start_pts=75 * 512, shot_end_pts=150 * 512)
    make_store(tmp_path, row)
    frames = frames_of(load(tmp_path, [row]).results[0])
    assert len(frames) == 1
    assert 75 * 512 <= frames.pts[0] < 85 * 512


def damage_footer(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damage_pictures(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(2, "jpeg", [[b"no picture"] * len(table)]), path)


def make_coarser(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"frames_key": b"of another rate"}), path)


def damage_last_pages(path: Path) -> None:
    """The second clip's pages; the first clip is read before they are needed."""
    pq.write_table(pq.read_table(path), path, row_group_size=8, compression="none")
    chunk = pq.read_metadata(path).row_group(2).column(0)
    data = bytearray(path.read_bytes())
    data[chunk.dictionary_page_offset : chunk.data_page_offset] = bytes(
        chunk.data_page_offset - chunk.dictionary_page_offset
    )
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [os.unlink, damage_footer, damage_pictures, damage_last_pages, make_coarser])
def test_load_frames_makes_a_bad_store_anew_by_one_counted_decode(tmp_path: Path, video: Path, harm: object) -> None:
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150)]
    path = make_store(tmp_path, rows[0])
    expected = [frames_of(result) for result in load(tmp_path, rows).results]
    harm(path)  # pyrefly: ignore[not-callable] - a function of one path
    done = load(tmp_path, rows)
    for result, frames in zip(done.results, expected, strict=True):
        np.testing.assert_array_equal(frames_of(result).images, frames.images)
    assert done.counters == {"rebuilt_frame_stores": 1, "decoded_frames": 225}
    with open_store(Storage(tmp_path), PARTITION, rows[0]["video_id"]) as store:
        assert store.key == rows[0]["frames_key"]


def replaced_by(root: Path, storage: Storage) -> None:
    """Copy a root's store of a folder into another storage, in place of one that may be there."""
    for info in Storage(root).list("frames"):
        storage.write_bytes(info.path, (root / info.path).read_bytes())


@pytest.mark.parametrize(("is_other", "rebuilt"), [(False, {}), (True, {"rebuilt_frame_stores": 1})])
def test_frame_loader_opens_anew_a_store_that_another_run_replaces(
    tmp_path: Path, video: Path, is_other: bool, rebuilt: dict[str, int]
) -> None:
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150)]
    path = make_store(tmp_path, rows[0])
    table = pq.read_table(path)
    longer = [jpeg + bytes(50_000) for jpeg in table["jpeg"].to_pylist()]  # more than one range holds
    pq.write_table(table.set_column(2, "jpeg", [longer]), path, row_group_size=8, compression="none")
    remote = Storage(f"memory://{tmp_path.name}")
    replaced_by(tmp_path, remote)
    expected = [frames_of(result) for result in load(tmp_path, rows).results]
    heartbeat.take_counts()
    loader = FrameLoader(remote.root)
    with contextlib.closing(loader):
        first = loader.load(video_task(rows[0]).data)
        if is_other:
            make_coarser(path)
        replaced_by(tmp_path, remote)
        second = loader.load(video_task(rows[1]).data)
    for frames, wanted in zip((first, second), expected, strict=True):
        np.testing.assert_array_equal(frames.images, wanted.images)
        np.testing.assert_array_equal(frames.pts, wanted.pts)
    assert {name: number for name, number in heartbeat.take_counts().items() if name != "decoded_frames"} == rebuilt


def test_frame_loader_keeps_what_it_made_anew_while_runs_of_other_parameters_write_too(
    tmp_path: Path, video: Path
) -> None:
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150)]
    heartbeat.take_counts()
    with contextlib.closing(FrameLoader(str(tmp_path))) as loader:
        for row in rows:
            assert len(loader.load(video_task(row).data)) == 12
            make_coarser(tmp_path / store_path(PARTITION, row["video_id"]))
    assert heartbeat.take_counts()["rebuilt_frame_stores"] == 1


def test_frame_loader_reads_on_once_a_disk_answers_again(tmp_path: Path, video: Path) -> None:
    row = clip_row(video, 0, 75)
    path = make_store(tmp_path, row)
    aside = path.rename(tmp_path / "aside")
    path.mkdir()  # reading a folder is an OSError for root too
    heartbeat.take_counts()
    with contextlib.closing(FrameLoader(str(tmp_path))) as loader:
        with pytest.raises(StageError, match="next run tries again") as caught:
            loader.load(video_task(row).data)
        assert caught.value.reason is Reason.STORAGE
        path.rmdir()
        aside.rename(path)
        assert len(loader.load(video_task(row).data)) == 12
    assert heartbeat.take_counts() == {}


def test_load_frames_fails_all_clips_of_a_lost_source_at_once(tmp_path: Path, video: Path) -> None:
    copy = Path(shutil.copy(video, tmp_path / "copy.mp4"))
    rows = [clip_row(copy, 0, 75), clip_row(copy, 75, 150)]
    copy.unlink()
    results = load(tmp_path, rows).results
    assert [
        (result.reason, result.error[:11], result.is_lasting) for result in results if isinstance(result, Failed)
    ] == [("gone", "SourceGone:", True)] * 2


def test_load_frames_rejects_a_source_that_was_replaced(tmp_path: Path, video: Path) -> None:
    copy = Path(shutil.copy(video, tmp_path / "copy.mp4"))
    row = clip_row(copy, 0, 75)
    copy.write_bytes(copy.read_bytes() + b"0")
    (result,) = load(tmp_path, [row]).results
    assert isinstance(result, Failed)
    assert (result.reason, "Run read and split again" in result.error) == ("superseded", True)


def test_load_frames_rejects_a_clip_of_another_version(tmp_path: Path, video: Path) -> None:
    (result,) = load(tmp_path, [clip_row(video, 0, 75, frames_key="of another version")]).results
    assert isinstance(result, Failed)
    assert "Run split again" in result.error


def test_load_frames_rejects_a_shot_without_picture(tmp_path: Path, video: Path) -> None:
    row = clip_row(video, 1, 2)
    (result,) = load(tmp_path, [row]).results
    assert isinstance(result, Failed)
    assert "Raise split.frames_fps" in result.error
