"""Versions of a root and their tags: created once, never changed, equal whoever comes first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stages.errors import ManifestError, ParamsError
from stages.manifest import (
    ALL,
    ManifestRef,
    find_version,
    newest_tables,
    newest_version,
    publish_version,
    read_manifest,
    read_tags,
    tag_version,
    version_numbers,
)
from stages.storage import Storage
from tests.made_tables import commit_items
from tests.stages.manifest.test_commits import clip


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_publish_creates_a_version_only_where_a_table_is_new(storage: Storage) -> None:
    first = publish_version(storage, {"videos": {"a": 1}})
    assert (first.number, first.tables) == (1, {"videos": {"a": 1}})
    assert publish_version(storage, {"videos": {"a": 1}}) == first
    second = publish_version(storage, {"videos": {"b": 3}})
    assert (second.number, second.tables) == (2, {"videos": {"a": 1, "b": 3}})
    assert publish_version(storage, {"videos": {"b": 2}}) == second, "an older commit takes no newer one's place"
    assert version_numbers(storage) == [1, 2]


def test_versions_that_are_made_at_once_lose_no_table(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: publish_version(storage, {"videos": {str(number): 1}}), range(24)))
    newest = newest_version(storage)
    assert newest is not None
    assert newest.tables == {"videos": {str(number): 1 for number in range(24)}}
    assert version_numbers(storage) == list(range(1, newest.number + 1))


def test_tag_stands_for_one_version_for_good(storage: Storage) -> None:
    with pytest.raises(ManifestError, match="has no version yet"):
        tag_version(storage, "first")
    publish_version(storage, {"videos": {"a": 1}})
    assert tag_version(storage, "first") == 1
    assert tag_version(storage, "first") == 1
    publish_version(storage, {"videos": {"a": 2}})
    with pytest.raises(ParamsError, match="'first' must be new, and stands for version 1"):
        tag_version(storage, "first")
    assert tag_version(storage, "older", 1) == 1
    assert read_tags(storage) == {"first": 1, "older": 1}
    assert find_version(storage, "first").number == find_version(storage, 1).number == 1
    for wrong in ("none", 7):
        with pytest.raises(ManifestError, match="Version must be"):
            find_version(storage, wrong)


@pytest.mark.parametrize("name", ["", "7", "a/b", "../x", ".x", "-x", "a b", "a" * 101])
def test_tag_must_be_a_plain_name(storage: Storage, name: str) -> None:
    publish_version(storage, {"videos": {"a": 1}})
    with pytest.raises(ParamsError, match="A tag must begin with a letter"):
        tag_version(storage, name)


def test_read_manifest_reads_the_tables_of_a_version(storage: Storage) -> None:
    ref = ManifestRef(storage.root, "clips", "p")
    commit_items(ref, [("a", [clip("a", 0)])])
    publish_version(storage, newest_tables(storage, ["p"]))
    tag_version(storage, "first")
    commit_items(ref, [("a", [clip("a", 0)]), ("b", [clip("b", 5)])])
    commit_items(ManifestRef(storage.root, "clips", "q"), [("c", [{**clip("c", 9), "partition": "q"}])])
    publish_version(storage, newest_tables(storage, ["p", "q"]))

    def starts(**given: Any) -> list[int]:
        return read_manifest(storage.root, "clips", columns=["start_pts"], **given)["start_pts"].to_pylist()

    assert starts() == starts(version=2) == starts(version="2") == [0, 5, 9]
    assert starts(version=1) == starts(version="first") == [0]
    assert starts(version=2, partition="q") == [9]
    with pytest.raises(ManifestError, match="Nothing is committed for partition 'q' of clips"):
        starts(version=1, partition="q")
    with pytest.raises(ManifestError, match="Nothing is committed for videos"):
        read_manifest(storage.root, "videos", version=1)


def test_newest_tables_holds_the_newest_commit_of_each_table(storage: Storage) -> None:
    for rows in ([("a", [clip("a", 0)])], [("b", [clip("b", 5)])]):
        commit_items(ManifestRef(storage.root, "clips", "p"), rows)
        commit_items(ManifestRef(storage.root, "unique_clips", ALL), rows)
    assert newest_tables(storage, ["p", "q"]) == {"clips": {"p": 2}, "unique_clips": {ALL: 2}}


def test_first_version_of_an_older_root_has_all_of_its_tables(storage: Storage) -> None:
    for partition in "pq":
        commit_items(ManifestRef(storage.root, "clips", partition), [("a", [{**clip("a", 0), "partition": partition}])])
    assert publish_version(storage, {"clips": {"p": 1}}).tables == {"clips": {"p": 1, "q": 1}}
