import os
import socket
from pathlib import Path

import fsspec
import pytest

from stages.errors import ParamsError
from stages.media import probe
from stages.params import ReadParams
from stages.sources import list_source_pages, list_sources
from stages.storage import stat_source
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


def test_list_sources_follows_links_to_folders_and_lists_each_file_once(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4", "videos/sub/b.mp4", "other/c.mp4", "other/deep/d.mp4", "root/dataset/x.mp4")
    links = {
        "videos/linked": "other",
        "videos/of_linked": "other/deep",
        "videos/sub/linked_again": "other",
        "videos/own": "videos/sub",
        "videos/loop": "videos",
        "videos/up": ".",
        "videos/root": "root",
        "other/back": "videos",
        "other/deep/loop": "other",
        "videos/itself": "videos/itself",
        "videos/broken": "nowhere",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    found = list_sources(str(tmp_path / "videos"), ReadParams(), excluded_folder=str(tmp_path / "root"))
    expected = ["a.mp4", "linked/c.mp4", "linked/deep/d.mp4", "sub/b.mp4"]
    assert [source.path for source in found] == expected
    assert [source.uri for source in found] == [str(tmp_path / "videos" / path) for path in expected]


def test_list_source_pages_goes_on_inside_a_linked_folder(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4", "other/b.mp4", "other/c.mp4", "videos/z.mp4")
    for link in ("linked", "twice"):
        (tmp_path / "videos" / link).symlink_to(tmp_path / "other")
    location, params = str(tmp_path / "videos"), ReadParams()
    pages = list_source_pages(location, params, after="2:linked/b.mp4")
    assert [source.path for page in pages for source in page.sources] == ["linked/c.mp4", "z.mp4"]


def test_list_sources_applies_patterns_to_names_and_paths(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.MP4", "a/two.mov", "a/notes.txt", "raw/three.mpg", "raw/four.ogv")
    assert [Path(uri).name for uri in uris(str(tmp_path))] == ["one.MP4", "two.mov", "four.ogv", "three.mpg"]
    assert [Path(uri).name for uri in uris(str(tmp_path), exclude=["raw/*"])] == ["one.MP4", "two.mov"]
    assert [Path(uri).name for uri in uris(str(tmp_path), include=["t*"], limit=1)] == ["two.mov"]


def test_list_sources_leaves_out_a_folder_before_it_counts(tmp_path: Path) -> None:
    touch(tmp_path, "a/out/clip.mp4", "a/outside.mp4", "b.mp4")
    listed = list_sources(str(tmp_path), ReadParams(limit=2), excluded_folder=f"{tmp_path}/a/out/")
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


TREE = ["a-b.mp4", "a.mp4", "a/y.mp4", "a/z/1.mp4", "a/z.mp4", "a0.mp4", "b/notes.txt", "root/x/clip.mp4", "é/x y.mp4"]
LISTED = [name for name in TREE if name.endswith("mp4") and not name.startswith("root/")]


@pytest.fixture(params=["folder", "memory", "bucket"])
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A location with the files of `TREE`, listed two a page."""
    monkeypatch.setattr("stages.sources.file_listing.FILES_PER_PAGE", 2)
    if request.param == "folder":
        touch(tmp_path, *TREE)
        return str(tmp_path)
    base = request.getfixturevalue("s3_bucket") if request.param == "bucket" else f"memory://{tmp_path.name}"
    filesystem, path = fsspec.core.url_to_fs(f"{base}/in")
    filesystem.pipe({f"{path}/{name}": name.encode() for name in TREE})
    return f"{base}/in"


def paths(location: str, *, after: str = "", **params: object) -> list[str]:
    pages = list_source_pages(
        location, ReadParams.model_validate(params), after=after, excluded_folder=f"{location}/root"
    )
    return [source.path for page in pages for source in page.sources]


def test_list_source_pages_gives_every_source_once_with_its_time(location: str) -> None:
    pages = list(list_source_pages(location, ReadParams(), excluded_folder=f"{location}/root"))
    sources = [source for page in pages for source in page.sources]
    assert sorted(source.path for source in sources) == sorted(LISTED)
    assert [page.num_files for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert len(pages) >= len(LISTED) // 2
    for source in sources:
        stored = stat_source(source.uri)
        assert (source.etag, source.size_bytes, source.modified) == (stored.etag, stored.size_bytes, stored.modified_s)
        assert source.uri == f"{location}/{source.path}"
    listed = list_sources(location, ReadParams(), excluded_folder=f"{location}/root")
    assert listed == sorted(sources, key=lambda source: source.uri)


def test_list_source_pages_goes_on_behind_any_position(location: str) -> None:
    pages = list(list_source_pages(location, ReadParams(), excluded_folder=f"{location}/root"))
    for number, page in enumerate(pages):
        rest = [source.path for later in pages[number + 1 :] for source in later.sources]
        assert paths(location, after=page.position) == rest


def test_list_source_pages_stands_changes_while_it_lists(location: str) -> None:
    filesystem, path = fsspec.core.url_to_fs(location)
    pages = list_source_pages(location, ReadParams(), excluded_folder=f"{location}/root")
    first = next(pages)
    gone = {"a/z/1.mp4", "a0.mp4", *first.position.split(":")[1:]} - {source.path for source in first.sources[:1]}
    for name in gone:
        filesystem.rm(f"{path}/{name}")
    filesystem.makedirs(f"{path}/zz", exist_ok=True)
    filesystem.pipe({f"{path}/0.mp4": b"before", f"{path}/zz/1.mp4": b"behind", f"{path}/é/x y.mp4": b"new"})
    found = [source for page in (first, *pages) for source in page.sources]
    assert {source.path for source in found} - {"zz/1.mp4", *gone} == set(LISTED) - gone
    assert {source.etag for source in found if source.path == "é/x y.mp4"} == {
        stat_source(f"{location}/é/x y.mp4").etag
    }
    assert set(paths(location)) == {*LISTED, "zz/1.mp4", "0.mp4"} - gone


def test_list_source_pages_counts_the_limit_over_a_pass(location: str) -> None:
    everything = paths(location)
    pages = list(list_source_pages(location, ReadParams(limit=3), excluded_folder=f"{location}/root"))
    assert [source.path for page in pages for source in page.sources] == everything[:3]
    assert paths(location, after=pages[0].position, limit=3) == everything[len(pages[0].sources) : 3]
    assert paths(location, after=pages[-1].position, limit=3) == []


def test_list_source_pages_looks_into_no_root(location: str) -> None:
    looked_at = sum(
        page.num_files for page in list_source_pages(location, ReadParams(), excluded_folder=f"{location}/root")
    )
    assert looked_at in (len(TREE) - 1, len(TREE))  # a bucket may show the root's first files before it is jumped over


def test_list_source_pages_takes_one_file(location: str) -> None:
    (page,) = list_source_pages(f"{location}/a.mp4", ReadParams())
    assert [(source.uri, source.path) for source in page.sources] == [(f"{location}/a.mp4", "a.mp4")]
    assert list(list_source_pages(f"{location}/a.mp4", ReadParams(), after=page.position)) == []


def test_list_source_pages_stands_names_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.sources.file_listing.FILES_PER_PAGE", 1)
    touch(tmp_path, "a.mp4", "z.mp4")
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb"):
        pass
    pages = list(list_source_pages(str(tmp_path), ReadParams()))
    assert [page.position.encode() for page in pages] == [b"1:a.mp4", b"2:z.mp4", b"2:z.mp4"]


@pytest.mark.parametrize("after", ["a.mp4", ":a.mp4", "x:a.mp4"])
def test_list_source_pages_rejects_what_is_no_position(tmp_path: Path, after: str) -> None:
    with pytest.raises(ParamsError, match="position of a page"):
        next(list_source_pages(str(tmp_path), ReadParams(), after=after))


def test_list_source_pages_rejects_a_bucket_that_is_not_there(s3_bucket: str) -> None:
    assert list(list_source_pages(s3_bucket, ReadParams())) == []
    assert list(list_source_pages(f"{s3_bucket}/later", ReadParams())) == []
    with pytest.raises(ParamsError, match="nothing is there"):
        next(list_source_pages(f"{s3_bucket}-other/in", ReadParams()))


@pytest.mark.parametrize("prefix", ["2026/01/02/", "2026/01/0", "2026", "", "none/"])
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_list_source_pages_tells_what_begins_with_a_prefix(tmp_path: Path, kind: str, prefix: str) -> None:
    names = ["2026/01/02/a.mp4", "2026/01/02/b/c.mp4", "2026/01/03/a.mp4", "2027/01/02/a.mp4", "2026.mp4"]
    location = str(tmp_path) if kind == "local" else f"memory://{tmp_path.name}"
    touch(tmp_path, *names)
    for name in names if kind == "memory" else ():
        fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/{name}", b"x")
    pages = list_source_pages(location, ReadParams(), prefix=prefix)
    found = [source.path for page in pages for source in page.sources]
    assert sorted(found) == sorted(name for name in names if name.startswith(prefix))


@pytest.mark.parametrize("below", ["", "/x"])
def test_list_source_pages_rejects_a_place_inside_the_root(location: str, below: str) -> None:
    with pytest.raises(ParamsError, match="SOURCE must not be the root or lie inside it"):
        next(list_source_pages(f"{location}/root{below}", ReadParams(), excluded_folder=f"{location}/root"))
