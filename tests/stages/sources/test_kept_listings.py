"""A large folder of a store that cannot be listed from a name on is listed once a pass, not once a page of it."""

from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stages.params import ReadParams
from stages.sources import kept_listings, list_source_pages
from stages.sources.kept_listings import KeptListings

LOCATION = "counted://bucket"
NUM_FILES = 3_500


class CountedFileSystem(MemoryFileSystem):
    """A store in memory that counts how often a folder is listed, as fsspec lists those of GCS and Azure: whole."""

    protocol = ("counted",)
    store: ClassVar[dict[str, Any]] = {}  # pyrefly: ignore[bad-override] # as in its base class
    pseudo_dirs: ClassVar[list[str]] = [""]  # pyrefly: ignore[bad-override] # as in its base class
    num_listed: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("counted://"))

    def ls(self, *args: Any, **kwargs: Any) -> Any:
        type(self).num_listed += 1
        return super().ls(*args, **kwargs)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CountedFileSystem]]:
    monkeypatch.setattr(kept_listings, "MIN_ENTRIES", 1_000)
    fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
    filesystem = fsspec.filesystem("counted")
    for number in range(NUM_FILES):
        filesystem.pipe_file(f"/bucket/{number:05}.mp4", b"x")
    CountedFileSystem.num_listed = 0
    yield CountedFileSystem
    CountedFileSystem.store.clear()


def one_page(after: str) -> tuple[list[str], str]:
    """Names on the next page, and where the one after begins: as an evaluation of a sensor does."""
    page = next(list_source_pages(LOCATION, ReadParams(), after=after), None)
    return ([source.path for source in page.sources], page.position) if page else ([], "")


def test_a_pass_lists_a_large_folder_once(store: type[CountedFileSystem]) -> None:
    found: list[str] = []
    names, position = one_page("")
    while names:
        found += names
        names, position = one_page(position)
    assert found == [f"{number:05}.mp4" for number in range(NUM_FILES)]
    assert store.num_listed == 1


def test_the_next_pass_lists_anew(store: type[CountedFileSystem]) -> None:
    _, position = one_page("")
    fsspec.filesystem("counted").pipe_file("/bucket/00000-new.mp4", b"x")
    fsspec.filesystem("counted").pipe_file("/bucket/99999.mp4", b"x")
    assert one_page(position)[0][0] == "01000.mp4"
    assert "00000-new.mp4" in one_page("")[0]


def test_a_listing_that_is_old_is_made_anew(store: type[CountedFileSystem], monkeypatch: pytest.MonkeyPatch) -> None:
    _, position = one_page("")
    monkeypatch.setattr(kept_listings, "MAX_AGE_S", -1.0)
    one_page(position)
    assert store.num_listed == 2


def test_few_entries_are_not_kept_and_of_too_many_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_listings, "MIN_ENTRIES", 2)
    monkeypatch.setattr(kept_listings, "MAX_ENTRIES", 5)
    listings, scanned = KeptListings[int](), list[str]()

    def look(url: str, size: int) -> None:
        def scan() -> list[int]:
            scanned.append(url)
            return [0] * size

        assert len(listings.entries(url, scan, goes_on=True)) == size

    sizes = {"few": 1, "a": 3, "b": 2, "c": 2, "many": 6}
    for url in ("few", "a", "b", "a", "c", "a", "few", "many", "many"):
        look(url, sizes[url])
    assert scanned == ["few", "a", "b", "c", "few", "many", "many"]
    look("b", 2)
    assert scanned[-1] == "b", "it was asked for longest ago when there was no room"
