"""The clips of a root as a dataset: exact frames, versions, workers, what is missing."""

import multiprocessing
import pickle
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from av.filter import Graph
from numpy.typing import NDArray
from torch.utils.data import DataLoader

import curator_dagster
from curator_dagster import ClipDataset, open_dataset
from stages.dataset.torchcodec_decoder import LOAD_ERRORS, load_torchcodec
from stages.errors import ManifestError, ParamsError
from stages.manifest import read_manifest, tag_version
from stages.storage import Storage
from tests.stages.dataset.roots import FORKS, write_dataset
from tests.videos import noise_shot, write_video


def torchcodec_loads() -> bool:
    try:
        load_torchcodec()
    except LOAD_ERRORS:
        return False
    return True


DECODERS = ["pyav", "torchcodec"] if torchcodec_loads() else ["pyav"]


def frames_of(path: Path) -> list[av.VideoFrame]:
    """All frames of a file, decoded from the first to the last."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return np.rot90(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), frame.rotation // 90)


def shown_at(frame: av.VideoFrame) -> float:
    return float((frame.pts or 0) * (frame.time_base or 1))


def truth_of(dataset: ClipDataset, root: Path, index: int) -> list[av.VideoFrame]:
    return frames_of(root / "dataset" / dataset.row(index)["path"])


def assert_frames(item: dict[str, Any], frames: list[av.VideoFrame]) -> None:
    """The frames of an item are these, to the bit."""
    assert item["frames"].dtype == torch.uint8
    assert item["times_s"].tolist() == pytest.approx([shown_at(frame) for frame in frames], abs=1e-9)
    found, images = item["frames"].permute(0, 2, 3, 1).numpy(), np.stack([upright(frame) for frame in frames])
    assert found.shape == images.shape
    assert np.array_equal(found, images)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_frame_is_the_one_that_ffmpeg_decodes(root: Path, decoder: Any) -> None:
    dataset = open_dataset(root, decoder=decoder)
    assert sorted((row["cut"], row["num_frames"], row["rotation"]) for row in dataset.rows.to_pylist()) == [
        ("copy", 25, 90),
        ("copy", 50, 0),
        ("copy", 50, 0),
        ("smart", 50, 0),
    ]
    for index in range(len(dataset)):
        frames = truth_of(dataset, root, index)
        assert len(frames) == dataset.row(index)["num_frames"]
        assert_frames(dataset[index], frames)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "sampling", [{"num_frames": 1}, {"num_frames": 8}, {"num_frames": 70}, {"fps": 5}, {"fps": 60}]
)
def test_sampled_frames_are_those_that_ffmpeg_shows_then(root: Path, sampling: dict[str, Any], decoder: Any) -> None:
    dataset = open_dataset(root, decoder=decoder, **sampling)
    for index in range(len(dataset)):
        row = dataset.row(index)
        duration = (row["end_pts"] - row["start_pts"]) * Fraction(row["time_base"])
        step = Fraction(1, sampling["fps"]) if "fps" in sampling else duration / sampling["num_frames"]
        first = 0 if "fps" in sampling else step / 2
        wanted = [first + number * step for number in range(1000) if first + number * step < duration]
        frames = truth_of(dataset, root, index)
        shown = [max(i for i, frame in enumerate(frames) if shown_at(frame) <= time) for time in map(float, wanted)]
        assert_frames(dataset[index], [frames[i] for i in shown])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("size", [48, (20, 80), (90, 30)])
def test_frames_are_scaled_in_proportion_and_cut_around_the_middle(root: Path, size: Any, decoder: Any) -> None:
    dataset = open_dataset(root, num_frames=2, size=size, decoder=decoder)
    height, width = (size, size) if isinstance(size, int) else size
    for index in range(len(dataset)):
        item, frames = dataset[index], {shown_at(frame): frame for frame in truth_of(dataset, root, index)}
        expected = np.stack([scaled_by_ffmpeg(frames[time_s], height, width) for time_s in item["times_s"].tolist()])
        found = item["frames"].permute(0, 2, 3, 1).numpy()
        assert found.shape == (2, height, width, 3)
        assert np.array_equal(found, expected)


def scaled_by_ffmpeg(frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    """A frame as FFmpeg's own filters scale it until it covers the size, and crop it."""
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(upright(frame)), format="rgb24")
    graph = Graph()
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1))
    scale = graph.add("scale", f"{width}:{height}:force_original_aspect_ratio=increase:flags=bicubic")
    crop, sink = graph.add("crop", f"{width}:{height}:exact=1"), graph.add("buffersink")
    for before, after in ((source, scale), (scale, crop), (crop, sink)):
        before.link_to(after)
    graph.configure()
    graph.push(picture)
    pulled = graph.pull()
    assert isinstance(pulled, av.VideoFrame)
    return upright(pulled)


def test_items_carry_captions_and_rows(root: Path) -> None:
    dataset = open_dataset(str(root), num_frames=1)
    assert dataset.rows.to_pylist() == read_manifest(str(root), "dataset").to_pylist()
    captions = {dataset.row(index)["cut"]: dataset[index]["caption"] for index in range(len(dataset))}
    assert captions == {"smart": "A wall slides.", "copy": ""}
    (captioned,) = [index for index in range(len(dataset)) if dataset[index]["caption"]]
    item, row = dataset[captioned - len(dataset)], dataset.row(captioned)
    assert (item["clip_id"], item["uri"]) == (row["clip_id"], row["uri"])
    assert [(window["end_frame"], window["caption"]) for window in dataset.windows(captioned)] == [
        (50, "A wall slides.")
    ]
    assert [item["clip_id"] for item in dataset] == dataset.rows["clip_id"].to_pylist()  # type: ignore[attr-defined]
    with pytest.raises(IndexError, match="must be below 4, got 4"):
        dataset[4]
    with pytest.raises(IndexError, match="must be below 4, got -5"):
        dataset[-5]


def test_train_and_validation_share_no_source(root: Path) -> None:
    whole = open_dataset(root)
    train, validation = (open_dataset(root, split=side, validation_share=0.25) for side in ("train", "validation"))
    assert sorted(train.sources + validation.sources) == whole.sources
    assert sorted([len(train.sources), len(validation.sources)]) == [1, 2]
    assert len(train) + len(validation) == len(whole) == 4
    assert {train[index]["uri"] for index in range(len(train))} == set(train.sources)


@pytest.mark.filterwarnings(FORKS)
def test_forked_workers_and_a_pickled_copy_read_the_same_batches(root: Path) -> None:
    dataset = open_dataset(root, num_frames=4, size=(32, 40))
    alone = list(DataLoader(dataset, batch_size=3))
    assert [tuple(batch["frames"].shape) for batch in alone] == [(3, 4, 3, 32, 40), (1, 4, 3, 32, 40)]
    forked = DataLoader(
        dataset, batch_size=3, num_workers=2, multiprocessing_context=multiprocessing.get_context("fork")
    )
    for others in (list(forked), list(DataLoader(pickle.loads(pickle.dumps(dataset)), batch_size=3))):
        assert [batch["clip_id"] for batch in others] == [batch["clip_id"] for batch in alone]
        assert all(torch.equal(a["frames"], b["frames"]) for a, b in zip(others, alone, strict=True))


@pytest.fixture
def versions(root: Path, tmp_path: Path) -> Path:
    """A root whose second version has one of the four clips, encoded anew with another caption."""
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    tag_version(Storage(copy), "paper")
    (row,) = [row for row in read_manifest(str(copy), "filtered_clips").to_pylist() if row["start_frame"] == 10]
    write_dataset(str(copy), [row], {row["clip_id"]: "A door."}, quality=40)
    return copy


def test_older_versions_are_read_from_former(root: Path, versions: Path) -> None:
    newest, first = open_dataset(versions), open_dataset(versions, version="paper")
    assert (newest.version, len(newest), newest[0]["caption"]) == (2, 1, "A door.")
    assert (first.version, len(first)) == (1, 4)
    assert open_dataset(versions, version=1).rows == first.rows
    before = open_dataset(root)
    for index in range(4):
        assert not (versions / "dataset" / first.row(index)["path"]).exists()
        assert torch.equal(first[index]["frames"], before[index]["frames"])
        assert first.windows(index) == before.windows(index)
    with pytest.raises(ManifestError, match="Version must be a number or one of the tags"):
        open_dataset(versions, version="draft")


def test_a_copy_of_the_folder_is_a_dataset_too(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "dataset", tmp_path / "copied")
    copied, whole = open_dataset(tmp_path / "copied"), open_dataset(root)
    assert copied.version is None
    assert copied.rows == whole.rows
    assert all(torch.equal(copied[index]["frames"], whole[index]["frames"]) for index in range(4))
    assert [copied.windows(index) for index in range(4)] == [whole.windows(index) for index in range(4)]
    (tmp_path / "copied" / copied.row(2)["path"]).unlink()
    with pytest.raises(ManifestError, match=r"copied/p/.*\.mp4 must be there, .* Copy the folder again, whole"):
        copied[2]


def test_a_copy_that_a_former_release_wrote_is_read_with_nulls(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(root / "dataset", copy)
    whole, index = open_dataset(copy), copy / "index" / "p.parquet"
    rows = pq.read_table(index).drop_columns(["rotation", "scores", "caption_model"])
    of_the_root = pa.array([f"dataset/{path}" for path in rows["path"].to_pylist()])
    pq.write_table(rows.set_column(rows.schema.get_field_index("path"), "path", of_the_root), index)
    former = open_dataset(copy)
    assert former.rows.schema.equals(whole.rows.schema)
    assert former.row(3) == {
        **whole.row(3),
        **dict.fromkeys(["rotation", "scores", "caption_model"]),
        "path": f"dataset/{whole.row(3)['path']}",
    }
    assert torch.equal(former[3]["frames"], whole[3]["frames"])
    (copy / whole.row(3)["path"]).unlink()
    with pytest.raises(ManifestError, match=rf"{copy}/p/[^/]*\.mp4 must be there"):
        former[3]
    pq.write_table(rows.drop_columns(["status", "num_frames"]), index)
    with pytest.raises(ManifestError, match=r"must be an index of clips, got a table without status, num_frames\."):
        open_dataset(copy)


@pytest.fixture
def damaged(root: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    return copy


@pytest.mark.filterwarnings(FORKS)
def test_a_missing_file_is_named(damaged: Path) -> None:
    dataset = open_dataset(damaged, num_frames=1)
    row = dataset.row(1)
    (damaged / "dataset" / row["path"]).unlink()
    message = rf"dataset/{row['path']} must be there, or in former/, since the row of clip {row['clip_id']} names it"
    with pytest.raises(ManifestError, match=rf"{message} \(path\) in version 1, .* Run `curator run` again"):
        dataset[1]
    with pytest.raises(ManifestError, match=message):
        list(DataLoader(dataset, num_workers=1, multiprocessing_context=multiprocessing.get_context("fork")))
    (damaged / "dataset" / row["metadata_path"]).unlink()
    with pytest.raises(ManifestError, match=r"\.json must be there, .* \(metadata_path\)"):
        dataset.windows(1)
    assert len(dataset[0]["frames"]) == 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_damaged_file_is_named(damaged: Path, decoder: Any) -> None:
    dataset = open_dataset(damaged, num_frames=4, decoder=decoder)
    paths = [damaged / "dataset" / dataset.row(index)["path"] for index in range(3)]
    paths[0].write_bytes(b"torn")
    paths[1].write_bytes(paths[1].read_bytes()[:-2000])
    write_video(paths[2], noise_shot(9, 20))
    for index in range(3):
        count = dataset.row(index)["num_frames"]
        with pytest.raises(ManifestError, match=rf"must be a whole video of {count} frames, got damage: .* Delete it"):
            dataset[index]
    (damaged / "dataset" / dataset.row(0)["metadata_path"]).write_text("{")
    with pytest.raises(ManifestError, match="must be a whole JSON of its clip, got damage"):
        dataset.windows(0)


def test_open_dataset_rejects_what_is_no_dataset(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Nothing is committed for dataset"):
        open_dataset(tmp_path)
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "p.parquet").write_bytes(b"torn")
    with pytest.raises(ManifestError, match=r"p\.parquet must be a whole index, got damage"):
        open_dataset(tmp_path)
    with pytest.raises(ParamsError, match=r"decoder must be one of \['pyav', 'torchcodec'\], got 'cv2'"):
        open_dataset(root, decoder="cv2")  # type: ignore[arg-type]


def test_the_decoder_is_torchcodec_where_it_loads(root: Path) -> None:
    assert open_dataset(root).decoder == DECODERS[-1]
    if "torchcodec" not in DECODERS:
        with pytest.raises(ParamsError, match="decoder='torchcodec' requires torchcodec and the FFmpeg that it finds"):
            open_dataset(root, decoder="torchcodec")


@pytest.mark.filterwarnings(FORKS)
def test_a_bucket_is_read_by_forked_workers(root: Path, s3_bucket: str) -> None:
    bucket, folder = Storage(s3_bucket), Storage(root)
    for info in folder.list():
        bucket.put_file(info.path, folder.location(info.path))
    local, remote = (open_dataset(place, num_frames=4, size=32) for place in (root, s3_bucket))
    assert remote.rows == local.rows
    assert torch.equal(remote[0]["frames"], local[0]["frames"])
    forked = DataLoader(
        remote, batch_size=2, num_workers=2, multiprocessing_context=multiprocessing.get_context("fork")
    )
    for found, expected in zip(forked, DataLoader(local, batch_size=2), strict=True):
        assert torch.equal(found["frames"], expected["frames"])
    bucket.delete(f"dataset/{local.row(3)['path']}")
    with pytest.raises(ManifestError, match=rf"{s3_bucket}/dataset/p/.* must be there, or in former/"):
        remote[3]


def test_public_names_come_from_curator_dagster() -> None:
    assert {"ClipDataset", "open_dataset"} <= set(curator_dagster.__all__)
    assert issubclass(ClipDataset, torch.utils.data.Dataset)
