"""The read phase as a session runs it: every listed source gets a row, whatever became of it."""

from pathlib import Path

from stages.manifest import ManifestRef, read_manifest
from stages.params import ExecutorParams, ReadParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.sources import list_sources, register_sources, registered_partitions
from stages.storage import Storage
from stages.tasks import Row
from tests.videos import beeping_video, noise_shot, write_video

PARAMS = ReadParams(max_failed_fraction=1)


def register(folder: Path, root: Path) -> list[str]:
    return register_sources(Storage(root), list_sources(str(folder), PARAMS), PARAMS)


def read(root: Path, partitions: list[str]) -> dict[str, PhaseReport]:
    outputs = [ManifestRef(str(root), "videos", partition) for partition in partitions]
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(PARAMS, {}, outputs)


def rows(root: Path) -> dict[str, Row]:
    return {Path(row["uri"]).name: row for row in read_manifest(str(root), "videos").to_pylist()}


def test_read_gives_each_source_a_row_and_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    beeping_video(folder / "good.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video " * 100)
    write_video(folder / "gone.mp4", noise_shot(1, 5))
    partitions = register(folder, tmp_path / "root")
    (folder / "gone.mp4").unlink()
    report = read(tmp_path / "root", partitions)[partitions[0]]
    found = rows(tmp_path / "root")
    assert {name: (row["status"], row["reason"]) for name, row in found.items()} == {
        "good.mp4": ("kept", None),
        "empty.mp4": ("failed", "unreadable"),
        "text.mp4": ("failed", "unreadable"),
        "gone.mp4": ("failed", "gone"),
    }
    assert found["empty.mp4"]["error"].startswith("UnreadableSource: The source is empty (0 bytes)")
    assert "Copy it again" in found["text.mp4"]["error"]
    assert report.missing == 0


def test_read_fills_every_column_that_a_file_tells(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    write_video(folder / "a.mp4", noise_shot(1, 50), options={"g": "10"})
    read(tmp_path / "root", register(folder, tmp_path / "root"))
    row = rows(tmp_path / "root")["a.mp4"]
    null = {name for name, value in row.items() if value is None}
    assert null == {"reason", "error", "audio_codec", "copy_of"}
    assert row["size_bytes"] == (folder / "a.mp4").stat().st_size


def test_read_reuses_permanent_failures_and_tries_passing_ones_again(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "empty.mp4").touch()
    gone = write_video(folder / "gone.mp4", noise_shot(1, 5))
    partitions = register(folder, tmp_path / "root")
    gone.rename(tmp_path / "away.mp4")
    read(tmp_path / "root", partitions)
    (tmp_path / "away.mp4").rename(gone)
    report = read(tmp_path / "root", partitions)[partitions[0]]
    assert (report.reused, report.computed) == (1, 1)
    assert rows(tmp_path / "root")["gone.mp4"]["status"] == "kept"


def test_read_rejects_a_source_that_changed_since_it_was_listed(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    write_video(folder / "a.mp4", noise_shot(1, 5))
    partitions = register(folder, tmp_path / "root")
    write_video(folder / "a.mp4", noise_shot(2, 9))
    read(tmp_path / "root", partitions)
    row = rows(tmp_path / "root")["a.mp4"]
    assert (row["status"], row["reason"]) == ("rejected", "superseded")
    assert "List again" in row["error"]


def test_read_rejects_the_old_version_once_the_new_one_is_registered(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    write_video(folder / "a.mp4", noise_shot(1, 5))
    (first,) = register(folder, tmp_path / "root")
    read(tmp_path / "root", [first])
    write_video(folder / "a.mp4", noise_shot(2, 9))
    (second,) = register(folder, tmp_path / "root")
    reports = read(tmp_path / "root", [first, second])
    assert reports[first].reasons == {"superseded": 1}
    assert reports[second].counts == {"kept": 1, "rejected": 0, "failed": 0}


def test_read_takes_back_a_version_that_was_restored(tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    source = write_video(folder / "a.mp4", noise_shot(1, 5))
    (first,) = register(folder, tmp_path / "root")
    restored = source.rename(tmp_path / "restored.mp4")
    write_video(source, noise_shot(2, 9))
    # Read before it is listed again: the row says that the tag is another one.
    assert read(tmp_path / "root", [first])[first].reasons == {"superseded": 1}
    (second,) = register(folder, tmp_path / "root")
    assert read(tmp_path / "root", [first, second])[second].counts["kept"] == 1
    restored.rename(source)
    assert register(folder, tmp_path / "root") == [first]
    reports = read(tmp_path / "root", [first, second])
    assert reports[first].counts == {"kept": 1, "rejected": 0, "failed": 0}
    assert reports[second].reasons == {"superseded": 1}


def test_read_leaves_out_what_an_earlier_partition_holds(tmp_path: Path) -> None:
    folder, root = tmp_path / "sources", tmp_path / "root"
    folder.mkdir()
    write_video(folder / "a.mp4", noise_shot(1, 5))
    register(folder, tmp_path / "other")
    write_video(folder / "b.mp4", noise_shot(2, 5))
    (first,) = register(folder, root)
    other = Storage(tmp_path / "other")
    (second,) = registered_partitions(other)
    Storage(root).create_bytes(f"partitions/{second}.parquet", other.read_bytes(f"partitions/{second}.parquet"))
    Storage(root).create_bytes("partitions/_order/2.json", other.read_bytes("partitions/_order/1.json"))
    reports = read(root, [first, second])
    assert (reports[first].items, reports[second].items, reports[second].rows) == (2, 0, 0)
