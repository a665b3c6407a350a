import os
import pickle
import threading
from pathlib import Path

import pytest

from stages import heartbeat
from stages.errors import ParamsError, SourceGone, StorageUnavailable
from stages.storage import Storage, digest, file_numbers, map_concurrently
from stages.storage.locations import is_url, local_path, normalize_location
from stages.storage.source_files import open_source, stat_source


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root" if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.mark.parametrize("name", ["plain", "two words", "100%25", "#x?y", "é 東", "a::b", "quote'\"", "two\nlines"])
def test_storage_lists_what_was_written_under_any_name(storage: Storage, name: str) -> None:
    storage.write_bytes(f"deep/{name}/{name}.bin", b"12345")
    (info,) = storage.list("deep")
    assert (info.path, info.size_bytes) == (f"deep/{name}/{name}.bin", 5)
    assert storage.read_bytes(info.path) == b"12345"
    with storage.open(info.path) as handle:
        handle.seek(3)
        assert handle.read() == b"45"


def test_storage_lists_sorted_and_only_below_the_folder(storage: Storage) -> None:
    for path in ("b/2", "b/1", "bb/3", "c"):
        storage.write_bytes(path, b"")
    assert [info.path for info in storage.list("b")] == ["b/1", "b/2"]
    assert [info.path for info in storage.list()] == ["b/1", "b/2", "bb/3", "c"]
    assert storage.list("nothing") == []


def test_folders_directly_in_a_folder_are_named(storage: Storage) -> None:
    for path in ("top/b c/1", "top/a.x/deep/2", "top/file", "topmost/z/3"):
        storage.write_bytes(path, b"1")
    assert list(storage.folders("top")) == ["a.x", "b c"]
    assert list(storage.folders("nothing")) == []


def test_storage_lists_a_linked_file_and_passes_over_a_linked_folder(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "root")
    storage.write_bytes("a/1", b"123")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2").write_bytes(b"12")
    (tmp_path / "root" / "a" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "a" / "file").symlink_to(tmp_path / "elsewhere" / "2")
    (tmp_path / "root" / "a" / "nowhere").symlink_to(tmp_path / "missing")
    assert [(info.path, info.size_bytes) for info in storage.list()] == [("a/1", 3), ("a/file", 2)]


def test_storage_gives_other_content_another_tag(storage: Storage) -> None:
    storage.write_bytes("x", b"one")
    (before,) = storage.list()
    storage.write_bytes("x", b"four")
    (after,) = storage.list()
    assert before.etag != after.etag


def test_storage_create_bytes_lets_one_of_many_win(storage: Storage) -> None:
    won: list[int] = []
    barrier = threading.Barrier(8)

    def create(number: int) -> None:
        barrier.wait()
        if storage.create_bytes("lock", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [storage.read_bytes("lock")]


def test_storage_leaves_no_temporary_files(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    (tmp_path / "made").write_bytes(b"made")
    storage.write_bytes("a", b"1")
    storage.put_file("b", tmp_path / "made")
    assert not storage.create_bytes("a", b"2")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "made"]


def test_storage_put_file_beats_while_it_writes(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(bytes(8 << 20))
    before = heartbeat.beats()
    storage.put_file("b", tmp_path / "made")
    assert heartbeat.beats() > before
    assert storage.read_bytes("b") == bytes(8 << 20)


def test_storage_deletes_and_tells_what_exists(storage: Storage) -> None:
    storage.write_bytes("x", b"1")
    assert storage.exists("x")
    storage.delete("x")
    storage.delete("x")
    assert not storage.exists("x")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("x")


def test_storage_crosses_processes_by_its_root(storage: Storage) -> None:
    storage.write_bytes("x", b"1")
    assert pickle.loads(pickle.dumps(storage)).root == storage.root


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_storage_rejects_a_path_that_leaves_the_root(storage: Storage, path: str) -> None:
    with pytest.raises(ParamsError, match="must not leave it"):
        storage.write_bytes(path, b"")


def test_storage_rejects_an_unknown_protocol() -> None:
    with pytest.raises(ParamsError, match="requires the fsspec protocol 'nix'"):
        Storage("nix://bucket")


@pytest.mark.parametrize(
    ("location", "url"),
    [("s3://b/x", True), ("memory://x", True), ("/a/b://c", False), ("a::b", False), ("C:\\x", False), ("/x", False)],
)
def test_is_url_and_local_path_agree(location: str, url: bool) -> None:
    assert is_url(location) is url
    assert (local_path(location) is None) is url


def test_normalize_gives_one_form_to_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        normalize_location("x/../y/")
        == normalize_location(tmp_path / "y")
        == normalize_location(f"file://{tmp_path}/y")
        == str(tmp_path / "y")
    )
    assert normalize_location(f"local://{tmp_path}/y") == str(tmp_path / "y")
    assert normalize_location("memory://x/y/") == "memory://x/y"


def test_stat_source_rejects_a_source_that_is_gone(tmp_path: Path) -> None:
    for uri in (str(tmp_path / "x.mp4"), "memory://nothing/x.mp4"):
        with pytest.raises(SourceGone, match="List again"):
            stat_source(uri)
        with pytest.raises(SourceGone, match="List again"), open_source(uri):
            pass


def test_stat_source_rejects_a_store_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match="tried again"):
        stat_source(str(tmp_path / "file" / "x.mp4"))


def test_file_numbers_leaves_out_what_others_left_there(storage: Storage) -> None:
    for name in ("1.json", "12.json", ".DS_Store", "._3.json", "04.json", "x.json", "5.json~", "6.parquet"):
        storage.write_bytes(f"log/{name}", b"")
    assert sorted(file_numbers(storage.list("log"))) == [1, 12]


def test_digest_tells_lists_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("x") == digest("x")
    assert len(digest("x", length=12)) == 12


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_concurrent_calls_are_made_once_each_and_keep_the_order(count: int) -> None:
    called: list[int] = []
    assert map_concurrently(lambda item: called.append(item) or -item, range(count), 3) == [-n for n in range(count)]
    assert sorted(called) == list(range(count))
