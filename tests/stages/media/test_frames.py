"""The frame store: sampling, whole-or-absent writing, reading."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages import heartbeat
from stages.errors import CorruptStream
from stages.media.container import open_video
from stages.media.decode import decode_frames
from stages.media.frame_store import FrameStore, frames_key, open_store, store_path
from stages.media.frames import StoreWriter, rebuild_store
from stages.storage import Storage
from tests.videos import noise_shot, remux, three_shots, truncated, write_video


@dataclass(frozen=True)
class Pictures:
    """All that a store holds."""

    key: str
    pts: list[int]
    frame: list[int]
    jpegs: list[bytes]


def pictures(store: FrameStore) -> Pictures:
    with store:
        pts, frame = store.times(range(len(store)))
        return Pictures(store.key, pts.tolist(), frame.tolist(), list(store.jpegs(range(len(store)))))


def rebuild(root: Path, path: Path, *, fps: float = 2, max_px: int = 448) -> Pictures:
    return pictures(rebuild_store(Storage(root), str(path), "p", "v", fps=fps, max_px=max_px))


def stored(root: Path) -> Pictures:
    return pictures(open_store(Storage(root), "p", "v"))


def test_rebuild_store_samples_the_whole_source(tmp_path: Path) -> None:
    heartbeat.take_counts()
    store = rebuild(tmp_path, three_shots(tmp_path / "a.mp4"))
    # 9 s at 25 fps: steps of 12.5 frames, ties to the left; the step at frame 225 takes the last frame.
    assert store.frame == [25 * step // 2 for step in range(18)] + [224]
    assert store.pts == [512 * frame for frame in store.frame]
    assert heartbeat.take_counts() == {"rebuilt_frame_stores": 1.0, "decoded_frames": 225.0}
    assert stored(tmp_path) == store
    assert store.key == frames_key("v", 2, 448)


def test_rebuild_store_returns_its_own_pictures_where_runs_with_other_parameters_write_too(tmp_path: Path) -> None:
    path, rates = write_video(tmp_path / "a.mp4", noise_shot(1, 25)), [1, 2, 4, 8] * 4
    with ThreadPoolExecutor(len(rates)) as pool:
        stores = list(pool.map(lambda fps: rebuild(tmp_path, path, fps=fps), rates))
    assert [store.key for store in stores] == [frames_key("v", fps, 448) for fps in rates]


def test_rebuild_store_keeps_small_upright_pictures(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 3, width=128, height=64))
    store = rebuild(tmp_path, remux(path, tmp_path / "b.mp4", rotation=90), max_px=32)
    image = cv2.imdecode(np.frombuffer(store.jpegs[0], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (32, 16, 3)


def test_rebuild_store_keeps_colours(tmp_path: Path) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[..., 0] = 200
    store = rebuild(tmp_path, write_video(tmp_path / "a.mp4", [picture]))
    image = cv2.imdecode(np.frombuffer(store.jpegs[0], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    blue, green, red = image.mean((0, 1))
    assert (blue < 40, green < 40, red > 160) == (True, True, True)


def test_rebuild_store_is_repeatable(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    rebuild(tmp_path / "one", path)
    rebuild(tmp_path / "two", path)
    first, second = ((tmp_path / name / store_path("p", "v")).read_bytes() for name in ("one", "two"))
    assert first == second


def test_rebuild_store_takes_what_lies_before_a_fault(tmp_path: Path) -> None:
    path = truncated(three_shots(tmp_path / "a.mp4"), tmp_path / "b.mp4", share=0.5)
    assert 2 < len(rebuild(tmp_path, path).jpegs) < 18


def test_rebuild_store_rejects_what_does_not_decode(tmp_path: Path) -> None:
    path = truncated(three_shots(tmp_path / "a.mp4"), tmp_path / "b.mp4", share=0.25)
    with pytest.raises(CorruptStream, match="before its first frame"):
        rebuild(tmp_path, path)
    assert not (tmp_path / store_path("p", "v")).exists()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[StoreWriter]:
    with StoreWriter(Storage(tmp_path), store_path("p", "v"), key="k", max_px=64) as writer:
        yield writer


def test_store_writer_leaves_nothing_without_close(tmp_path: Path, writer: StoreWriter) -> None:
    with open_video(str(three_shots(tmp_path / "a.mp4"))) as container:
        for decoded in decode_frames(container):
            writer.add(decoded)
    with pytest.raises(FileNotFoundError):
        open_store(Storage(tmp_path), "p", "v")
    writer.close()
    store = stored(tmp_path)
    assert (store.key, len(store.jpegs)) == ("k", 225)


def test_frames_key_depends_on_each_parameter() -> None:
    keys = {frames_key("v", 2, 448), frames_key("v", 2.0, 448), frames_key("w", 2, 448)}
    assert len(keys | {frames_key("v", 4, 448), frames_key("v", 2, 224)}) == 4
