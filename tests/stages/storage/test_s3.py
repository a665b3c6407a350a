"""The same promises on a real object store as on a folder."""

import contextlib
import threading
from fractions import Fraction
from pathlib import Path

import fsspec
import pytest
from botocore.awsrequest import AWSRequest

from curator_dagster.cli import app
from stages import heartbeat, retry
from stages.errors import SourceChanged, StorageError
from stages.manifest import Commit, CommittedFile, ManifestRef, RowWriter, commit_table, read_manifest
from stages.media import StoreDamaged, StoreReplaced, open_store, store_path
from stages.params import ReadParams
from stages.pictures.stored import UNREADABLE, stored_picture
from stages.retry import Backoff
from stages.sources import list_sources
from stages.storage import Storage, open_source, stat_source
from stages.storage.locations import open_filesystem
from stages.storage.ranged_file import FIRST_RANGE_BYTES
from stages.tasks import Span
from tests.object_store import ObjectStore
from tests.stages.pictures.stores import clip_row, noise, write_store
from tests.videos import three_shots


def test_create_bytes_is_exclusive(s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}/root")
    assert storage.create_bytes("a/1.json", b"first")
    assert not storage.create_bytes("a/1.json", b"second")
    assert storage.read_bytes("a/1.json") == b"first"


def test_list_shows_what_was_written_a_moment_ago(s3_bucket: str, tmp_path: Path) -> None:
    storage = Storage(f"{s3_bucket}/root")
    assert storage.list("a") == []
    storage.write_bytes("a/b c#%.bin", b"12")
    (tmp_path / "local").write_bytes(b"345")
    storage.put_file("a/d", tmp_path / "local")
    assert [(info.path, info.size_bytes) for info in storage.list("a")] == [("a/b c#%.bin", 2), ("a/d", 3)]
    assert (storage.folders(""), storage.folders("a"), storage.folders("no")) == (["a"], [], [])
    storage.delete("a/d")
    storage.delete("a/d")
    assert [info.path for info in storage.list()] == ["a/b c#%.bin"]


def test_put_file_beats_as_parts_are_through(s3_bucket: str, tmp_path: Path) -> None:
    storage, data = Storage(f"{s3_bucket}/root"), bytes(range(256)) * (5 << 15)
    (tmp_path / "local").write_bytes(data)
    before = heartbeat.beats()
    storage.put_file("a", tmp_path / "local")
    assert heartbeat.beats() >= before + 5
    assert storage.read_bytes("a") == data


def test_sources_have_the_tag_of_the_store(s3_bucket: str) -> None:
    filesystem = fsspec.filesystem("s3")
    filesystem.pipe(f"{s3_bucket}/in/x/same name #1%.mp4", b"one")
    filesystem.pipe(f"{s3_bucket}/in/y/same name #1%.mp4", b"two")
    found = list_sources(f"{s3_bucket}/in/", ReadParams())
    assert [source.uri for source in found] == [f"{s3_bucket}/in/{folder}/same name #1%.mp4" for folder in "xy"]
    assert [stat_source(source.uri).etag for source in found] == [source.etag for source in found]
    filesystem.pipe(found[0].uri, b"new")
    assert stat_source(found[0].uri).etag != found[0].etag


def test_open_source_reads_by_ranges(s3_bucket: str) -> None:
    uri = f"{s3_bucket}/large.bin"
    fsspec.filesystem("s3").pipe(uri, bytes(64 << 20))
    heartbeat.take_counts()
    with open_source(uri) as handle:
        handle.seek(-8, 2)
        assert handle.read(100) == bytes(8)
        handle.seek(0)
        assert handle.read(16) == bytes(16)
    assert heartbeat.take_counts()["source_bytes"] == 8 + FIRST_RANGE_BYTES


def test_open_source_rejects_an_object_that_is_replaced_meanwhile(s3_bucket: str) -> None:
    uri, filesystem = f"{s3_bucket}/large.bin", fsspec.filesystem("s3")
    filesystem.pipe(uri, bytes(2 * FIRST_RANGE_BYTES))
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context(open_source(uri))
        handle.seek(FIRST_RANGE_BYTES)
        filesystem.pipe(uri, b"1" * 2 * FIRST_RANGE_BYTES)
        with pytest.raises(SourceChanged, match="List it again"):
            handle.read(1)
        with pytest.raises(SourceChanged, match="List it again"):
            stack.close()


def test_frame_store_costs_few_requests_and_is_read_anew_when_it_is_replaced(s3_bucket: str, tmp_path: Path) -> None:
    storage, path = Storage(f"{s3_bucket}/root"), store_path("p", "v")
    pictures = {pts: noise(pts, 96, 64) for pts in range(640)}
    storage.put_file(path, write_store(tmp_path, "v", pictures, row_group=64))
    filesystem, _ = open_filesystem(storage.root)
    methods: list[str] = []

    def record_method(request: AWSRequest, **_: object) -> None:
        methods.append(request.method or "")

    filesystem.connect()
    filesystem.s3.meta.events.register("before-send.s3", record_method)
    with open_store(storage, "p", "v") as store:
        for start in range(200, 360, 10):  # sixteen clips
            clip = Span(start, start + 10, Fraction(1))
            assert list(store.jpegs(store.within(clip, clip))) == [pictures[pts] for pts in range(start, start + 10)]
        assert methods == ["HEAD", *["GET"] * 3]  # the footer; three row groups, of which two came together
        filesystem.pipe(f"{storage.root}/{path}", b"x" * storage.list("frames")[0].size_bytes)
        with pytest.raises(StoreReplaced):
            list(store.jpegs([639]))
    with pytest.raises(StoreDamaged):
        open_store(storage, "p", "v")


def test_frame_store_of_a_store_that_is_away_is_not_damaged(
    s3_bucket: str, s3_server: ObjectStore, tmp_path: Path
) -> None:
    storage = Storage(f"{s3_bucket}/root")
    storage.put_file(store_path("p", "v"), write_store(tmp_path, "v", {pts: noise(pts % 7) for pts in range(64)}))
    with open_store(storage, "p", "v") as store, s3_server.outage(), retry.using(Backoff(1, 0)):
        with pytest.raises(StorageError):
            list(store.jpegs([0]))
        assert stored_picture(storage, clip_row("v", 0, 10)).missing_reason == UNREADABLE


def test_racing_commits_get_numbers_of_their_own(s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}/root")
    ref = ManifestRef(storage.root, "clips", "p")

    def written(key: str) -> list[CommittedFile]:
        writer = RowWriter(storage, ref, decision_key="d", lineage={})
        writer.append(key, [{"partition": "p", "video_id": key, "status": "kept", "row_key": key}])
        writer.flush()
        return writer.files

    files = [written(key) for key in "abcd"]
    commits: list[Commit] = []
    threads = [
        threading.Thread(target=lambda mine=mine: commits.append(commit_table(Storage(storage.root), ref, mine, {})))
        for mine in files
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(commit.number for commit in commits) == [1, 2, 3, 4]


@pytest.mark.system
def test_curator_runs_from_bucket_to_bucket(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    fsspec.filesystem("s3").put(str(three_shots(tmp_path / "a.mp4")), f"{s3_bucket}/in/a b#1.mp4")
    arguments = ["run", f"{s3_bucket}/in", "--root", f"{s3_bucket}/out", "--set", "executor.mode=local"]
    arguments += ["--set", "split.min_length_s=1", "--set", "filter.score_only=[all]", "--set", "dedup.eps=1e-4"]
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            app(arguments)
        assert ended.value.code == 0
    written = read_manifest(f"{s3_bucket}/out", "dataset")
    assert written["status"].to_pylist() == ["kept"] * 3
    storage = Storage(f"{s3_bucket}/out")
    assert all(storage.exists(f"dataset/{path}") for path in written["path"].to_pylist())
    assert storage.list("former") == []
