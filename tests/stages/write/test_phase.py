"""The write phase as a session runs it, from tables of clips to files that decode."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import ManifestError, PhaseError
from stages.manifest import ManifestRef, commit_table, last_commit, newest_version, read_commit, read_manifest
from stages.media import FrameLoader, encode_preview
from stages.params import ExecutorParams, WriteParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Failed, Frames, Row, Video
from stages.write import read_dataset_file
from stages.write.paths import PATH_COLUMNS
from stages.write.phase import WritePhase
from stages.write.stage import WriteStage
from tests.clips import PARTITION, WORKER, clip_row, commit_rows, video_task
from tests.made_tables import commit_items
from tests.videos import noise_shot, write_video

Texts = list[str | None]

PICTURE = {"is_mirrored": False, "is_hdr": False, "bit_depth": 8, "average_rate": "25/1"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four seconds, a keyframe each second."""
    options = {"g": "25", "keyint_min": "25", "x264-params": "scenecut=0"}
    return write_video(tmp_path / "a source.mp4", noise_shot(1, 100), options=options)


def clip(source: Path, start: int, end: int) -> Row:
    flags = {"start_is_keyframe": start % 25 == 0, "end_is_keyframe": end % 25 == 0}
    facts = {"codec": "h264", "rotation": 0, "audio_codec": None, **PICTURE, "scores": {"motion": 0.5, "black": 0.0}}
    return clip_row(source, start, end, **flags, **facts)


def only_clip(row: Row) -> Row:
    return {name: row[name] for name in ("partition", "video_id", "uri", "clip_id", "status")}


def captions_of(row: Row, texts: Texts) -> list[Row]:
    named = {name: row[name] for name in ("partition", "video_id", "uri", "clip_id")}
    return [
        {
            **named,
            "status": "kept" if text else "failed",
            "reason": None if text else "empty_caption",
            "caption": text,
            "window_index": position,
            "window_start_frame": 20 * position,
            "window_end_frame": 20 * position + 20,
            "model": "teller",
            "prompt_id": "p1",
        }
        for position, text in enumerate(texts)
    ]


def write(root: Path, clips: list[tuple[Row, Texts]], **params: Any) -> PhaseReport:
    """Commit the input tables and run the phase on them."""
    rows = [row for row, _ in clips]
    inputs = {
        "filtered_clips": [commit_rows(root, "filtered_clips", rows)],
        "unique_clips": [commit_rows(root, "unique_clips", rows)],
        "captions": [commit_rows(root, "captions", [each for row, texts in clips for each in captions_of(row, texts)])],
    }
    output = ManifestRef(Storage(root).root, "dataset", PARTITION)
    with open_session(ExecutorParams(mode="local", backoff_s=0)) as session:
        return session.run_phase(WriteParams(max_failed_fraction=1, **params), inputs, [output])[PARTITION]


def table(root: Path) -> list[Row]:
    return read_manifest(str(root), "dataset").to_pylist()


def files(root: Path, folder: str = "dataset") -> set[str]:
    """The files of the partition, as rows name them."""
    return {info.path.removeprefix(f"{folder}/") for info in Storage(root).list(f"{folder}/{PARTITION}")}


def named(rows: list[Row]) -> set[str]:
    return {row[name] for row in rows for name in ("path", "preview_path", "metadata_path") if row[name]}


def num_frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_write_makes_clip_preview_json_and_row(tmp_path: Path, source: Path) -> None:
    report = write(tmp_path, [(clip(source, 25, 75), ["A wall."]), (clip(source, 10, 40), ["A ", "door."])])
    assert report.counts == {"kept": 2, "rejected": 0, "failed": 0}
    assert (report.counters["copied_clips"], report.counters["joined_clips"]) == (1, 1)
    assert (report.counters["rebuilt_frame_stores"], report.missing) == (1, 0)
    joined, copied = table(tmp_path)
    assert [(row["cut"], row["num_frames"], row["duration_s"]) for row in (joined, copied)] == [
        ("smart", 30, 1.2),
        ("copy", 50, 2.0),
    ]
    for row in (joined, copied):
        assert num_frames_of(tmp_path / "dataset" / row["path"]) == row["num_frames"]
        assert (tmp_path / "dataset" / row["path"]).stat().st_size == row["bytes"]
        assert (tmp_path / "dataset" / row["preview_path"]).read_bytes()[8:12] == b"WEBP"
        null = {name for name, value in row.items() if value is None and not name.startswith("color_")}
        sound = {"audio_codec", "source_audio_codec", "audio_rate_hz", "audio_channels", "audio_duration_s"}
        assert null == {"reason", "error", "crop"} | sound
    assert files(tmp_path) == named([joined, copied])


def test_each_mode_cuts_in_its_way_and_the_row_says_how(tmp_path: Path, source: Path) -> None:
    spans = {"keyframes": clip(source, 25, 75), "half": clip(source, 10, 40), "little": clip(source, 2, 30)}
    spans["damaged"] = {**clip(source, 10, 41), "damaged_share": 0.1}
    found = {}
    for mode in ("auto", "copy", "smart", "encode"):
        write(tmp_path / mode, [(row, []) for row in spans.values()], mode=mode, preset="ultrafast")
        rows = {(row["start_frame"], row["end_frame"]): row["cut"] for row in table(tmp_path / mode)}
        found[mode] = [rows[row["start_frame"], row["end_frame"]] for row in spans.values()]
    assert found == {
        "auto": ["copy", "smart", "encode", "encode"],
        "copy": ["copy", None, None, None],
        "smart": ["copy", "smart", "smart", "encode"],
        "encode": ["encode"] * 4,
    }


def test_rows_tell_of_the_file_and_of_its_source(tmp_path: Path, source: Path) -> None:
    facts = {"width": 1234, "codec": "vp6", "rotation": 90, "audio_codec": "mp2"}
    row = {**clip(source, 10, 40), **facts}
    write(tmp_path, [(row, ["A door."])])
    (written,) = table(tmp_path)
    assert [written[f"source_{name}"] for name in ("width", "codec", "rotation", "audio_codec")] == [
        *(1234, "vp6", 90, "mp2")
    ]
    file = tmp_path / "dataset" / written["path"]
    assert written["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert [written[name] for name in ("width", "height", "codec", "num_frames", "average_rate", "rotation")] == [
            *(stream.width, stream.height, "h264", 30, "25", 0)
        ]
    metadata = json.loads((tmp_path / "dataset" / written["metadata_path"]).read_text())
    assert {name: metadata[name] for name in ("width", "source_width", "sha256")} == {
        name: written[name] for name in ("width", "source_width", "sha256")
    }


def test_new_caption_reads_no_file_again(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = clip(source, 10, 40)
    write(tmp_path, [(row, ["A wall."])])
    (before,) = table(tmp_path)
    read: list[str] = []
    whole = Storage.read_bytes
    monkeypatch.setattr(Storage, "read_bytes", lambda self, path: [read.append(path), whole(self, path)][1])
    write(tmp_path, [(row, ["A door."])])
    (after,) = table(tmp_path)
    assert not [path for path in read if path.endswith(".mp4")]
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"caption", "metadata_path", "row_key"}


def test_row_without_a_file_tells_of_its_source_alone(tmp_path: Path, source: Path) -> None:
    write(tmp_path, [({**clip(source, 10, 60), "width": 1234}, [])], mode="copy")
    (row,) = table(tmp_path)
    assert (row["status"], row["source_width"], row["width"], row["codec"], row["sha256"]) == (
        *("rejected", 1234),
        *(None, None, None),
    )


def clean(row: Row, area: list[float] | None) -> Row:
    """The row as filter text leaves it."""
    return {**row, "text": "COMING SOON", "clean_area": area}


def test_largest_clean_rectangle_is_cut_out_on_request(tmp_path: Path, source: Path) -> None:
    areas = {0: [0.0, 0.0, 1.0, 0.7], 25: [0.25, 0.0, 1.0, 0.75], 50: [0.0, 0.0, 1.0, 1.0], 75: None}
    clips: list[tuple[Row, Texts]] = [(clean(clip(source, at, at + 25), area), []) for at, area in areas.items()]
    write(tmp_path, clips, crop="clean", crop_min=0.6)
    rows = {row["start_frame"]: row for row in table(tmp_path)}
    # 0.5625 of the second would stay: too little, so it is written whole, as are those without text and all text.
    assert [(row["cut"], row["crop"]) for row in rows.values()] == [
        ("encode", areas[0]),
        *[("copy", None)] * 3,
    ]
    assert [(row["width"], row["height"]) for row in rows.values()] == [(96, 44), *[(96, 64)] * 3]
    with av.open(str(tmp_path / "dataset" / rows[0]["path"])) as container:
        decoded = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    with av.open(str(source)) as container:
        expected = [frame.to_ndarray(format="gray")[:44] for frame in container.decode(video=0)][:25]
    assert max(float(abs(a.astype(int) - b).mean()) for a, b in zip(decoded, expected, strict=True)) < 4


def test_crop_of_a_clean_rectangle_follows_what_was_found(tmp_path: Path, source: Path) -> None:
    row, area = clip(source, 0, 25), [0.0, 0.0, 1.0, 0.7]
    assert write(tmp_path, [(clean(row, area), [])], crop="clean").computed == 1
    assert write(tmp_path, [(clean(row, area), [])], crop="clean").reused == 1
    # Another caption gives another row of the same file, whose header tells the part that it shows.
    again = write(tmp_path, [(clean(row, area), ["A wall."])], crop="clean")
    assert (again.computed, again.counters.get("encoded_clips"), table(tmp_path)[0]["crop"]) == (1, None, area)
    moved = write(tmp_path, [(clean(row, [0.0, 0.3, 1.0, 1.0]), [])], crop="clean")
    assert (moved.computed, table(tmp_path)[0]["crop"]) == (1, [0.0, 0.3, 1.0, 1.0])


def test_clean_rectangles_need_the_text_filter(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ManifestError, match=r"Add text to filter\.filters and run filter again"):
        write(tmp_path, [(clip(source, 0, 25), [])], crop="clean")


def test_bars_are_cut_off_on_request(tmp_path: Path) -> None:
    pictures = noise_shot(1, 50, width=320, height=192, speed=1)
    for picture in pictures:
        picture[:24] = picture[-18:] = 16
    source = write_video(tmp_path / "a.mp4", pictures)
    whole = write_video(tmp_path / "b.mp4", noise_shot(2, 50, width=320, height=192, speed=1))
    write(tmp_path, [(clip(source, 0, 50), []), (clip(whole, 0, 50), [])], crop="bars")
    cropped, copied = sorted(table(tmp_path), key=lambda row: row["uri"])
    assert (copied["cut"], copied["height"]) == ("copy", 192)
    assert (cropped["cut"], cropped["width"]) == ("encode", 320)
    assert 142 <= cropped["height"] <= 192 - 24 - 18
    with av.open(str(tmp_path / "dataset" / cropped["path"])) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray")
    assert min(luma[0].mean(), luma[-1].mean()) > 60


def test_line_on_black_is_not_cut_out(tmp_path: Path) -> None:
    pictures = noise_shot(1, 50, width=320, height=192, speed=1)
    for picture in pictures:
        picture[:92], picture[96:] = 16, 16
    source = write_video(tmp_path / "a.mp4", pictures)
    write(tmp_path, [(clip(source, 0, 50), [])], crop="bars")
    assert [(row["cut"], row["height"]) for row in table(tmp_path)] == [("copy", 192)]


def test_damaged_file_of_the_same_size_is_written_again(tmp_path: Path, source: Path) -> None:
    row = clip(source, 10, 40)
    write(tmp_path, [(row, ["A wall."])])
    (before,) = table(tmp_path)
    file = tmp_path / "dataset" / before["path"]
    file.write_bytes(b"\0" * before["bytes"])
    report = write(tmp_path, [(row, ["A door."])])
    assert report.counters["joined_clips"] == 1
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before["sha256"]


def test_write_joins_captions_and_writes_all_columns_to_the_json(tmp_path: Path, source: Path) -> None:
    write(tmp_path, [(clip(source, 25, 75), ["A wall slides.", "It stops."])])
    (row,) = table(tmp_path)
    assert (row["caption"], row["caption_model"]) == ("A wall slides. It stops.", "teller")
    metadata = json.loads((tmp_path / "dataset" / row["metadata_path"]).read_text())
    assert [(window["start_frame"], window["caption"]) for window in metadata["windows"]] == [
        (0, "A wall slides."),
        (20, "It stops."),
    ]
    assert metadata["scores"] == dict(row["scores"]) == {"motion": 0.5, "black": 0.0}
    assert {name: metadata[name] for name in ("clip_id", "path", "cut", "num_frames", "bytes", "flow_mean")} == {
        **{name: row[name] for name in ("clip_id", "path", "cut", "num_frames", "bytes")},
        "flow_mean": 0.1,
    }


def index_of(root: Path) -> pa.Table:
    return pq.read_table(io.BytesIO(Storage(root).read_bytes(f"dataset/index/{PARTITION}.parquet")))


def test_write_makes_one_index_of_the_kept_rows(tmp_path: Path, source: Path) -> None:
    kept, lost = clip(source, 0, 50), clip(source, 10, 60)
    vector = {"embedding": [0.6, 0.8], "model": "net", "num_embedded_frames": 4}
    commit_rows(tmp_path, "embeddings", [{**only_clip(kept), **vector}])
    facts = {"group_id": kept["clip_id"], "similarity": 0.5, "thresholds": {"motion": 0.1}, "method": "shots"}
    write(tmp_path, [({**kept, **facts}, ["A wall.", "It stops."]), ({**lost, **facts}, [])], mode="copy")
    index = index_of(tmp_path)
    (row,) = index.to_pylist()
    rows = read_manifest(str(tmp_path), "dataset")
    (expected,) = [row for row in rows.to_pylist() if row["status"] == "kept"]
    assert {name: row[name] for name in rows.column_names} == expected
    assert (row["group_id"], row["similarity"], row["rank"]) == (kept["clip_id"], 0.5, None)
    assert (row["method"], row["start_is_keyframe"], row["thresholds"]) == ("shots", True, [("motion", 0.1)])
    assert (row["flow_mean"], row["frames_key"]) == (0.1, kept["frames_key"])
    assert (row["embedding"], row["embedding_model"]) == (pytest.approx([0.6, 0.8]), "net")
    assert [(window["end_frame"], window["caption"]) for window in row["windows"]] == [
        (20, "A wall."),
        (40, "It stops."),
    ]
    of_filter = set(ASSETS["filtered_clips"].schema.names)
    assert of_filter - {"score_keys", "picture_scores", "clip_embedding"} <= set(index.column_names)


def test_write_makes_an_equal_index_again(tmp_path: Path, source: Path) -> None:
    clips: list[tuple[Row, Texts]] = [(clip(source, 0, 50), ["A wall."]), (clip(source, 10, 60), [])]
    write(tmp_path, clips)
    before = Storage(tmp_path).read_bytes(f"dataset/index/{PARTITION}.parquet")
    Storage(tmp_path).delete(f"dataset/index/{PARTITION}.parquet")
    write(tmp_path, clips)
    assert Storage(tmp_path).read_bytes(f"dataset/index/{PARTITION}.parquet") == before


def test_write_takes_a_partition_without_kept_clips(tmp_path: Path, source: Path) -> None:
    report = write(tmp_path, [])
    assert (report.items, report.rows) == (0, 0)
    row = clip(source, 0, 50)
    report = write(tmp_path, [({**row, "status": "rejected", "reason": "duplicate"}, ["A wall."])])
    assert (report.items, report.rows, len(index_of(tmp_path))) == (0, 0, 0)


def test_finish_follows_the_newest_table(tmp_path: Path, source: Path) -> None:
    row, output = clip(source, 10, 60), ManifestRef(str(tmp_path), "dataset", PARTITION)
    storage, phase = Storage(tmp_path), WritePhase(WriteParams(), str(tmp_path))
    write(tmp_path, [(row, ["A wall."])])
    write(tmp_path, [(row, ["A door."])], quality=30)
    second = last_commit(storage, output)
    assert second is not None
    third = write(tmp_path, [(row, ["A gate."])], quality=31)
    (newest,) = table(tmp_path)
    phase.finish([output])  # the run that made it is late
    assert index_of(tmp_path)["caption"].to_pylist() == ["A gate."]
    assert files(tmp_path) == named([newest])
    version = newest_version(storage)
    assert version is not None
    assert (third.root_version, phase.finish([output])) == (version.number, version.number)
    before = read_commit(storage, output, second).to_pylist()
    assert named(before) - named([newest]) <= files(tmp_path, "former")


def test_finish_keeps_files_that_a_run_at_the_same_time_reuses(tmp_path: Path, source: Path) -> None:
    row, output = clip(source, 10, 60), ManifestRef(str(tmp_path), "dataset", PARTITION)
    storage, phase = Storage(tmp_path), WritePhase(WriteParams(), str(tmp_path))
    write(tmp_path, [(row, ["A wall."])])
    first = last_commit(storage, output)
    assert first is not None
    stored = dict.fromkeys(first.files[0].items, first.files[0])
    assert phase.reusable(output, stored) == set(stored)  # this run plans, and commits later
    write(tmp_path, [(row, ["A door."])], quality=30)
    again = commit_table(storage, output, first.files, {})
    phase.finish([output])
    (newest,) = table(tmp_path)
    assert (again.number, newest["caption"]) == (3, "A wall.")
    assert named([newest]) <= files(tmp_path)
    assert index_of(tmp_path)["caption"].to_pylist() == ["A wall."]


def test_files_that_are_gone_enter_no_version_and_are_made_again(tmp_path: Path, source: Path) -> None:
    row, output = clip(source, 10, 60), ManifestRef(str(tmp_path), "dataset", PARTITION)
    storage = Storage(tmp_path)
    write(tmp_path, [(row, ["A wall."])])
    first = last_commit(storage, output)
    (before,) = table(tmp_path)
    assert first is not None
    write(tmp_path, [(row, ["A door."])], quality=30)
    storage.delete(f"former/{before['path']}")  # what a vacuum may do
    commit_table(storage, output, first.files, {})  # of a run that began before the second
    with pytest.raises(PhaseError, match=f"1 are gone, the first is {before['path']} of partition 'p'"):
        WritePhase(WriteParams(), str(tmp_path)).finish([output])
    newest = newest_version(storage)
    assert newest is not None
    assert newest.tables["dataset"] == {PARTITION: 2}
    assert named(read_manifest(str(tmp_path), "dataset", version=newest.number).to_pylist()) == files(tmp_path)
    report = write(tmp_path, [(row, ["A wall."])])
    assert (report.computed, table(tmp_path)) == (1, [before])
    assert files(tmp_path) == named([before])


def test_write_rejects_a_span_that_cannot_be_copied(tmp_path: Path, source: Path) -> None:
    report = write(tmp_path, [(clip(source, 10, 60), ["A wall."])], mode="copy")
    (row,) = table(tmp_path)
    assert (row["status"], row["reason"]) == ("rejected", "span_not_copyable")
    assert (row["path"], row["caption"], row["start_frame"]) == (None, "A wall.", 10)
    assert report.counts["rejected"] == 1
    assert write(tmp_path, [(clip(source, 10, 60), ["A wall."])], mode="copy").computed == 0


def test_write_computes_nothing_the_second_time(tmp_path: Path, source: Path) -> None:
    clips: list[tuple[Row, Texts]] = [(clip(source, 0, 50), ["A wall."]), (clip(source, 10, 60), [None])]
    first = write(tmp_path, clips)
    again = write(tmp_path, clips)
    assert (again.computed, again.reused, again.commit) == (0, 2, first.commit)


def test_write_keeps_the_clip_where_only_the_caption_changed(tmp_path: Path, source: Path) -> None:
    row = clip(source, 10, 60)
    write(tmp_path, [(row, ["A wall."])])
    (before,) = table(tmp_path)
    source.unlink()  # nothing of it is needed any more
    report = write(tmp_path, [(row, ["A door."])])
    (after,) = table(tmp_path)
    assert (report.computed, report.counters["reused_files"]) == (1, 1)
    assert "encoded_clips" not in report.counters
    assert (after["caption"], after["status"]) == ("A door.", "kept")
    same = ("path", "preview_path", "bytes", "cut", "clip_codec", "num_frames")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert files(tmp_path) == named([after])
    assert files(tmp_path, "former") == {before["metadata_path"]}
    write(tmp_path, [(row, ["A wall."])])
    assert files(tmp_path, "former") == {after["metadata_path"]}
    assert json.loads((tmp_path / "dataset" / before["metadata_path"]).read_text())["caption"] == "A wall."


def test_dataset_holds_the_newest_version_and_former_the_others(tmp_path: Path, source: Path) -> None:
    kept, gone = clip(source, 10, 60), clip(source, 20, 70)
    write(tmp_path, [(kept, ["A wall."]), (gone, ["A door."])])
    (tmp_path / "dataset" / PARTITION / "notes.txt").write_text("mine")
    versions = [table(tmp_path)]
    for params in ({"quality": 29}, {"quality": 30, "preview_fps": 0}):
        write(tmp_path, [(kept, ["A wall."])], **params)
        versions.append(table(tmp_path))
        newest = named(versions[-1])
        assert files(tmp_path) == {*newest, f"{PARTITION}/notes.txt"}
        assert files(tmp_path, "former") == set().union(*map(named, versions)) - newest
    assert versions[-1][0]["preview_path"] is None
    for number, expected in enumerate(versions, 1):
        rows = read_manifest(str(tmp_path), "dataset", version=number).to_pylist()
        assert rows == expected
        for row in rows:
            data = read_dataset_file(Storage(tmp_path), row["path"], PARTITION)
            assert len(data) == row["bytes"]


def test_files_that_are_gone_do_not_enter_the_first_version_either(tmp_path: Path, source: Path) -> None:
    row, storage = clip(source, 10, 60), Storage(tmp_path)
    write(tmp_path, [(row, ["A wall."])])
    shutil.rmtree(tmp_path / "versions")
    storage.delete(f"dataset/{table(tmp_path)[0]['path']}")
    with pytest.raises(PhaseError, match="1 are gone"):
        WritePhase(WriteParams(), str(tmp_path)).finish([ManifestRef(storage.root, "dataset", PARTITION)])
    first = newest_version(storage)
    assert first is not None
    assert PARTITION not in first.tables.get("dataset", {})
    assert write(tmp_path, [(row, ["A wall."])]).computed == 1


def test_rows_with_paths_below_the_root_are_made_again_once_from_the_files_that_are_there(
    tmp_path: Path, source: Path
) -> None:
    """A root that was made before paths were relative to ``dataset/``, and before it had versions."""
    clips: list[tuple[Row, Texts]] = [(clip(source, 10, 60), ["A wall."]), (clip(source, 20, 70), ["A door."])]
    write(tmp_path, clips)
    expected, output = table(tmp_path), ManifestRef(str(tmp_path), "dataset", PARTITION)
    old = [{**row, **{name: f"dataset/{row[name]}" for name in PATH_COLUMNS}} for row in expected]
    for folder in ("manifests/dataset", "versions", "leases"):
        shutil.rmtree(tmp_path / folder)
    commit_items(output, [(row["row_key"], [row]) for row in old], decision_key="before")
    source.unlink()
    reports = [write(tmp_path, clips) for _ in range(2)]
    assert [(report.computed, report.reused, report.commit) for report in reports] == [(2, 0, 2), (0, 2, 2)]
    assert reports[0].counters["reused_files"] == 2
    assert table(tmp_path) == expected
    assert files(tmp_path) == named(expected)


def test_dataset_says_how_it_is_read(tmp_path: Path, source: Path) -> None:
    write(tmp_path, [(clip(source, 10, 60), ["A wall."])])
    moved = tmp_path / "elsewhere"
    (tmp_path / "dataset").rename(moved)
    text = (moved / "README.md").read_text()
    code = "".join(line.removeprefix("    ") + "\n" for line in text.splitlines() if line.startswith("    "))
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(clips[0]['path'], len(clips))"],
        cwd=moved,
        capture_output=True,
        text=True,
        check=True,
    )
    path, count = done.stdout.split()
    assert count == "1"
    assert num_frames_of(moved / path) == 50


def test_write_decodes_only_the_frames_of_the_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    loaded: list[int] = []
    load = FrameLoader.load

    def watched(loader: FrameLoader, video: Video) -> Frames:
        frames = load(loader, video)
        loaded.append(len(frames))
        return frames

    monkeypatch.setattr(FrameLoader, "load", watched)
    row = clip(source, 0, 100)
    write(tmp_path, [(row, ["A wall."])], preview_fps=1)
    assert loaded == [1] * 4
    (written,) = table(tmp_path)
    video = video_task(row).data
    shown = load(FrameLoader(str(tmp_path)), video)
    shown = Frames(shown.pts[:16:4], shown.images[:16:4])
    whole = encode_preview([shown], video.clip.span, height_px=240)
    assert (tmp_path / "dataset" / written["preview_path"]).read_bytes() == whole


@pytest.mark.parametrize("column", ["path", "preview_path", "metadata_path"])
def test_write_makes_deleted_files_again(tmp_path: Path, source: Path, column: str) -> None:
    clips: list[tuple[Row, Texts]] = [(clip(source, 0, 50), ["A wall."]), (clip(source, 10, 60), ["A door."])]
    write(tmp_path, clips)
    before = table(tmp_path)
    (tmp_path / "dataset" / before[0][column]).unlink()
    report = write(tmp_path, clips)
    assert (report.computed, report.reused) == (1, 1)
    assert table(tmp_path) == before
    assert files(tmp_path) == named(before)


def test_write_cuts_again_what_is_damaged(tmp_path: Path, source: Path) -> None:
    row = clip(source, 10, 60)
    write(tmp_path, [(row, ["A wall."])])
    (before,) = table(tmp_path)
    (tmp_path / "dataset" / before["path"]).write_bytes(b"torn")
    write(tmp_path, [(row, ["A door."])])
    (after,) = table(tmp_path)
    assert num_frames_of(tmp_path / "dataset" / after["path"]) == 50
    assert after["bytes"] == before["bytes"]


def test_write_does_not_cut_again_what_cannot_be_read_now(tmp_path: Path, source: Path) -> None:
    row = clip(source, 10, 60)
    write(tmp_path, [(row, ["A wall."])])
    (before,) = table(tmp_path)
    there = tmp_path / "dataset" / before["path"]
    there.unlink()
    there.symlink_to("/proc/self/mem")  # can be opened, and fails to be read
    report = write(tmp_path, [(row, ["A door."])])
    (after,) = table(tmp_path)
    moved = tmp_path / "former" / before["path"]  # no row names it now
    assert (after["reason"], there.exists(), moved.is_symlink()) == ("storage", False, True)
    assert "encoded_clips" not in report.counters


@pytest.mark.parametrize("texts", [[], [None]])
def test_write_takes_a_clip_without_caption_unless_one_is_required(tmp_path: Path, source: Path, texts: Texts) -> None:
    clips: list[tuple[Row, Texts]] = [(clip(source, 0, 50), texts), (clip(source, 50, 100), ["A door."])]
    write(tmp_path, clips)
    before = table(tmp_path)
    assert [(row["status"], row["caption"]) for row in before] == [("kept", None), ("kept", "A door.")]
    report = write(tmp_path, clips, require_caption=True)
    assert (report.computed, report.redecided, report.reasons) == (0, 2, {"no_caption": 1})
    rejected, kept = table(tmp_path)
    assert (rejected["status"], rejected["path"]) == ("rejected", None)
    assert "write.require_caption" in rejected["error"]
    assert kept["path"] in files(tmp_path)
    assert write(tmp_path, clips).computed == 0
    assert table(tmp_path) == before
    assert files(tmp_path) == named(before)
    assert write(tmp_path, clips).computed == 0


def test_write_does_not_cut_what_it_rejects(tmp_path: Path, source: Path) -> None:
    report = write(tmp_path, [(clip(source, 0, 50), [])], require_caption=True)
    assert report.reasons == {"no_caption": 1}
    assert "copied_clips" not in report.counters
    assert files(tmp_path) == set()


def test_write_rejects_a_source_that_changed_and_fails_one_that_is_gone(tmp_path: Path, source: Path) -> None:
    row = clip(source, 10, 60)
    write_video(source, noise_shot(9, 100))
    write(tmp_path, [(row, ["A wall."])])
    (changed,) = table(tmp_path)
    assert (changed["status"], changed["reason"], changed["path"]) == ("rejected", "superseded", None)
    source.unlink()
    write(tmp_path, [(row, ["A door."])])
    (gone,) = table(tmp_path)
    assert (gone["status"], gone["reason"]) == ("failed", "gone")
    assert "List again" in gone["error"]


def test_write_tries_a_source_that_is_gone_once_in_a_run(tmp_path: Path, source: Path) -> None:
    row = clip(source, 10, 60)
    source.unlink()
    stage = WriteStage(str(tmp_path), WriteParams())
    stage.setup(WORKER)
    outcome = stage.process(video_task({**row, "caption": "A wall."}))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.is_lasting) == ("gone", True)


def test_write_fails_one_clip_alone(tmp_path: Path, source: Path) -> None:
    report = write(tmp_path, [({**clip(source, 10, 60), "end_frame": 65}, ["x"]), (clip(source, 20, 70), ["y"])])
    assert report.counts == {"kept": 1, "rejected": 0, "failed": 1}
    failed = next(row for row in table(tmp_path) if row["status"] == "failed")
    assert failed["error"].startswith("StageError: The span must decode to the frames that split counted")


def test_write_refuses_tables_that_do_not_fit(tmp_path: Path, source: Path) -> None:
    row, other = clip(source, 0, 50), clip(source, 50, 100)
    inputs = {
        "filtered_clips": [commit_rows(tmp_path, "filtered_clips", [row])],
        "unique_clips": [commit_rows(tmp_path, "unique_clips", [row, other])],
        "captions": [commit_rows(tmp_path, "captions", [])],
    }
    output = ManifestRef(str(tmp_path), "dataset", PARTITION)
    with (
        open_session(ExecutorParams(mode="local")) as session,
        pytest.raises(ManifestError, match="Materialize unique_clips again"),
    ):
        session.run_phase(WriteParams(), inputs, [output])
