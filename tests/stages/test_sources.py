import multiprocessing
import os
import socket
import threading
from pathlib import Path

import fsspec
import pytest

from stages.errors import ManifestError, ParamsError
from stages.media.probe import probe
from stages.params import ReadParams
from stages.sources import (
    Register,
    Source,
    list_sources,
    read_members,
    register_sources,
    registered_partitions,
)
from stages.storage import Storage, stat_source
from tests.videos import noise_shot, write_video

HOSTILE = [
    "with space.mp4",
    'quote\'s "and" `more`.mp4',
    "100%25.mp4",
    "#hash?query=1&x.mp4",
    "two\nlines.mp4",
    "épée 東京 🎬.mp4",
    "colon::chain.mp4",
    "file:x.mp4",
    "-dash.mp4",
    "[glob]*.mp4",
    " leading and trailing .mp4",
    "back\\slash.mp4",
]


def touch(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return [str(folder / name) for name in names]


def uris(location: str, **params: object) -> list[str]:
    return [source.uri for source in list_sources(location, ReadParams.model_validate(params))]


@pytest.mark.parametrize("name", HOSTILE)
def test_list_sources_and_probe_take_any_name(tmp_path: Path, name: str) -> None:
    made = write_video(tmp_path / "plain.mp4", noise_shot(1, 5))
    folder = tmp_path / "a %20 b"
    folder.mkdir()
    made.rename(folder / name)
    (source,) = list_sources(str(tmp_path), ReadParams())
    assert source.uri == str(folder / name)
    assert stat_source(source.uri).etag == source.etag
    assert probe(source.uri)["num_frames"] == 5


def test_list_sources_tells_equal_names_in_two_folders_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4", "b/x.mp4")
    sources = list_sources(str(tmp_path), ReadParams())
    assert [Path(source.uri).parent.name for source in sources] == ["a", "b"]
    assert sources[0].video_id != sources[1].video_id


def test_list_sources_follows_links_to_files_and_leaves_out_what_is_none(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/real.bin")
    folder = tmp_path / "listed"
    folder.mkdir()
    (folder / "link.mp4").symlink_to(tmp_path / "elsewhere" / "real.bin")
    (folder / "broken.mp4").symlink_to(tmp_path / "nothing")
    (folder / "folder.mp4").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        listening.bind("socket.mp4")
        os.chdir(here)
        (source,) = list_sources(str(folder), ReadParams())
    assert source.uri == str(folder / "link.mp4")
    assert source.size_bytes == len("elsewhere/real.bin")
    assert stat_source(source.uri).etag == source.etag


def test_list_sources_applies_patterns_to_names_and_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.MP4", "a/two.mov", "a/notes.txt", "raw/three.mpg", "raw/four.ogv")
    assert [Path(uri).name for uri in uris(str(tmp_path))] == ["one.MP4", "two.mov", "four.ogv", "three.mpg"]
    assert [Path(uri).name for uri in uris(str(tmp_path), exclude=["raw/*"])] == ["one.MP4", "two.mov"]
    assert [Path(uri).name for uri in uris(str(tmp_path), include=["t*"], limit=1)] == ["two.mov"]


def test_list_sources_leaves_out_a_folder_before_it_counts(tmp_path: Path) -> None:
    touch(tmp_path, "a/out/clip.mp4", "a/outside.mp4", "b.mp4")
    listed = list_sources(str(tmp_path), ReadParams(limit=2), outside=f"{tmp_path}/a/out/")
    assert [Path(source.uri).name for source in listed] == ["outside.mp4", "b.mp4"]


def test_list_sources_takes_one_file(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "one.mp4")
    assert uris(path) == [path]


@pytest.fixture
def bucket() -> str:
    memory = fsspec.filesystem("memory")
    for name in ("a/x.mp4", "b/x.mp4", "b/two words#%.mp4", "b/notes.txt"):
        memory.pipe_file(f"/listing/{name}", name.encode())
    return "memory://listing"


def test_list_sources_takes_a_url(bucket: str) -> None:
    sources = list_sources(bucket + "/", ReadParams())
    assert [source.uri for source in sources] == [
        "memory://listing/a/x.mp4",
        "memory://listing/b/two words#%.mp4",
        "memory://listing/b/x.mp4",
    ]
    assert [stat_source(source.uri).etag for source in sources] == [source.etag for source in sources]
    assert uris(bucket, exclude=["b/*"]) == ["memory://listing/a/x.mp4"]


@pytest.mark.parametrize(
    ("location", "text"),
    [("/no/such/folder", "does not exist"), ("memory://no-such-bucket", "nothing is there"), ("nix://x", "protocol")],
)
def test_list_sources_rejects_what_cannot_be_listed(location: str, text: str) -> None:
    with pytest.raises(ParamsError, match=text):
        list_sources(location, ReadParams())


def test_list_sources_rejects_a_name_that_is_no_text(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.mp4", "wb"):
        pass
    with pytest.raises(ParamsError, match=r"must be UTF-8, got .*udcff"):
        list_sources(str(tmp_path), ReadParams())
    assert uris(str(tmp_path), exclude=["?.mp4"]) == []


def source(uri: str, etag: str = "1") -> Source:
    return Source(uri, etag, 1)


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")


def test_register_sources_keeps_known_ones_where_they_are(storage: Storage) -> None:
    first = register_sources(storage, [source("/a"), source("/b"), source("/c")], 2)
    assert [len(read_members(storage, partition)) for partition in first] == [2, 1]
    again = register_sources(storage, [source("/c"), source("/d")], 2)
    assert again[0] == first[1]
    assert len(again) == 2
    assert registered_partitions(storage) == [*first, again[1]]
    assert register_sources(storage, [source("/a"), source("/b"), source("/c")], 2) == first


def test_register_sources_finishes_a_registration_that_died(storage: Storage) -> None:
    (partition,) = register_sources(storage, [source("/a")], 2)
    storage.delete("partitions/_order/1.json")
    assert registered_partitions(storage) == []
    assert register_sources(storage, [source("/a")], 2) == [partition]
    assert registered_partitions(storage) == [partition]


def test_superseded_names_what_was_registered_again_with_other_content(storage: Storage) -> None:
    old, same, newer = source("/a", "1"), source("/b", "1"), source("/a", "2")
    (first,) = register_sources(storage, [old, same], 8)
    assert Register(storage).superseded() == {}
    (second,) = register_sources(storage, [newer], 8)
    register_sources(storage, [source("/a", "3")], 8)
    assert Register(storage).superseded() == {first: {old.video_id}, second: {newer.video_id}}


def test_superseded_follows_the_version_that_was_listed_last(storage: Storage) -> None:
    old, newer = source("/a", "1"), source("/a", "2")
    (first,) = register_sources(storage, [old], 8)
    (second,) = register_sources(storage, [newer], 8)
    for _ in range(2):  # the second listing says nothing new, so that the log does not grow
        assert register_sources(storage, [old], 8) == [first]
    assert Register(storage).superseded() == {second: {newer.video_id}}
    assert len(storage.list("partitions/_order")) == 3
    assert register_sources(storage, [newer], 8) == [second]
    assert Register(storage).superseded() == {first: {old.video_id}}
    assert registered_partitions(storage) == Register(storage).partitions_of({"/a"}) == [first, second]


def test_held_members_are_those_of_the_partition_registered_first(storage: Storage, tmp_path: Path) -> None:
    (first,) = register_sources(storage, [source("/a"), source("/b")], 8)
    other = Storage(f"{storage.root}-other")
    (second,) = register_sources(other, [source("/b"), source("/c")], 8)
    for path in (f"partitions/{second}.parquet", "partitions/_order/1.json"):
        storage.create_bytes(path.replace("1.json", "2.json"), other.read_bytes(path))
    register = Register(storage)
    assert register.held_members(first)["uri"].to_pylist() == ["/a", "/b"]
    assert register.held_members(second)["uri"].to_pylist() == ["/c"]
    assert register_sources(storage, [source("/b")], 8) == [first]


def test_append_follows_what_another_process_appended(storage: Storage) -> None:
    late = Register(storage)
    (partition,) = register_sources(storage, [source("/a")], 8)
    assert not late.append({"relisted": []})
    assert late.holder == {source("/a").video_id: partition}
    assert late.append({"relisted": []})


def register_after(barrier: threading.Barrier, root: str, first: int, size: int) -> None:
    sources = [source(f"/{number:03}") for number in range(first, first + 60)]
    barrier.wait(30)
    register_sources(Storage(root), sources, size)


def test_register_sources_gives_a_video_one_partition_whatever_processes_race(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    racing = [context.Process(target=register_after, args=(barrier, str(tmp_path), 30 * n, 1 + n)) for n in range(2)]
    for process in racing:
        process.start()
    for process in racing:
        process.join(60)
    assert [process.exitcode for process in racing] == [0, 0]
    storage = Storage(tmp_path)
    everything = [source(f"/{number:03}") for number in range(90)]
    held = [read_members(storage, key)["uri"].to_pylist() for key in registered_partitions(storage)]
    assert sorted(uri for uris in held for uri in uris) == [source.uri for source in everything]
    assert set(register_sources(storage, everything, 8)) == set(registered_partitions(storage))


def test_read_members_rejects_an_unknown_partition(storage: Storage) -> None:
    with pytest.raises(ManifestError, match="must be registered"):
        read_members(storage, "nothing")


def test_register_sources_passes_over_files_of_others(storage: Storage) -> None:
    sources = [Source("/videos/a.mp4", "1", 1)]
    partitions = register_sources(storage, sources, 64)
    for name in (".DS_Store", "._1.json", "notes.json"):
        storage.write_bytes(f"partitions/_order/{name}", b"\x00")
    assert register_sources(storage, sources, 64) == registered_partitions(storage) == partitions


@pytest.mark.parametrize("name", ["partitions/{}.parquet", "partitions/_order/1.json"])
@pytest.mark.parametrize("data", [b"", b"torn", b"[1]"])
def test_register_sources_rejects_a_damaged_file(name: str, data: bytes, storage: Storage) -> None:
    (partition,) = register_sources(storage, [Source("/videos/a.mp4", "1", 1)], 64)
    storage.write_bytes(name.format(partition), data)
    with pytest.raises(ManifestError, match=r"is damaged|must hold an entry"):
        register_sources(storage, [Source("/videos/b.mp4", "1", 1)], 64)
