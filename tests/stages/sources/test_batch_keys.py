import itertools
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.params import ReadParams
from stages.sources import Register, Source, read_members, register_sources, registered_partitions
from stages.sources.batch_keys import batch_keys
from stages.sources.members import create_members_file, members_path, write_members_file
from stages.storage import Storage, digest

NOON = datetime(2026, 9, 14, 12, tzinfo=UTC).timestamp()
PARAMS = ReadParams(partition_size=8)
BY_ONE = ReadParams(partition_size=1)
SAME_HASH = ("/52970", "/102039")
"""Sources whose partitions have one hash of eight digits."""


def source(path: str, modified: float | None = NOON) -> Source:
    return Source(f"/in/{path}", "1", 1, modified, path)


def key_of(*members: Source, **params: object) -> str:
    return batch_keys(members, ReadParams.model_validate(params))[0]


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.mark.parametrize(
    ("times", "date"),
    [
        ([NOON], "2026-09-14"),
        ([NOON + 43_199.9], "2026-09-14"),
        ([NOON + 43_200], "2026-09-15"),
        ([0.0, NOON, None, 86_400.0], "2026-09-14"),
        ([0.0], "1970-01-01"),
        ([None, None], "undated"),
        ([-1.0, 1e12, float("nan")], "undated"),
    ],
)
def test_a_batch_has_the_date_of_its_newest_member(times: list[float | None], date: str) -> None:
    members = [source(f"{number}.mp4", each) for number, each in enumerate(times)]
    assert re.fullmatch(f"{date}-[0-9a-f]{{8}}", key_of(*members))
    assert key_of(*members) != key_of(*members, source("other.mp4", times[0]))


@pytest.mark.parametrize(
    ("path", "depth", "name"),
    [
        ("cam-1/a.mp4", 1, "cam-1-2026-09-14-"),
        ("cam 1/2026, raw/x/a.mp4", 2, "cam_1_2026_raw-2026-09-14-"),
        ("Été...[é]/a.mp4", 1, "Ete_e-2026-09-14-"),
        ("-_x" + "y" * 300 + "/a.mp4", 1, "x" + "y" * 63 + "-2026-09-14-"),
        ("映像/a.mp4", 1, "2026-09-14-"),
        ("a.mp4", 3, "2026-09-14-"),
    ],
)
def test_a_batch_of_a_folder_begins_with_its_name(path: str, depth: int, name: str) -> None:
    assert key_of(source(path), partition_by="prefix", prefix_depth=depth)[:-8] == name
    assert key_of(source(path), partition_by="count") == f"2026-09-14-{digest(source(path).video_id, length=8)}"


@given(st.text(max_size=300), st.one_of(st.none(), st.floats(), st.floats(0, 3e11)))
def test_keys_hold_nothing_that_must_be_quoted_or_escaped(folder: str, modified: float | None) -> None:
    keys = batch_keys([source(f"{folder}/a.mp4", modified)], ReadParams(partition_by="prefix", prefix_depth=3))
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,99}", key) for key in keys)
    assert all(longer.startswith(shorter) for shorter, longer in itertools.pairwise(keys))


def test_partitions_with_one_hash_get_two_names(storage: Storage) -> None:
    first, second = (Source(uri, "1", 1, NOON) for uri in SAME_HASH)
    keys = [digest(each.video_id, length=12) for each in (first, second)]
    assert keys[0][:8] == keys[1][:8]
    assert register_sources(storage, [first], BY_ONE) == [f"2026-09-14-{keys[0][:8]}"]
    both = [f"2026-09-14-{keys[0][:8]}", f"2026-09-14-{keys[1]}"]
    assert register_sources(storage, [first, second], BY_ONE) == registered_partitions(storage) == both
    assert [read_members(storage, key)["uri"].to_pylist() for key in both] == [[uri] for uri in SAME_HASH]


@pytest.mark.parametrize("lost", [[1], [2], [1, 2]])
def test_a_registration_that_died_is_finished_under_the_same_names(storage: Storage, lost: list[int]) -> None:
    sources = [Source(uri, "1", 1, NOON) for uri in SAME_HASH]
    keys = register_sources(storage, sources, BY_ONE)
    assert sorted(map(len, keys)) == [19, 23]
    for number in lost:
        storage.delete(f"partitions/_order/{number}.json")
    if lost == [1]:  # entries are without gaps
        storage.write_bytes("partitions/_order/1.json", storage.read_bytes("partitions/_order/2.json"))
        storage.delete("partitions/_order/2.json")
    files = {info.path for info in storage.list("partitions") if "_order" not in info.path}
    assert set(register_sources(storage, sources, BY_ONE)) == set(keys)
    assert {info.path for info in storage.list("partitions") if "_order" not in info.path} == files
    held = [read_members(storage, key)["uri"].to_pylist() for key in keys]
    assert sorted(held) == sorted([uri] for uri in SAME_HASH)


def test_members_that_another_day_lists_again_stay_where_they_are(storage: Storage) -> None:
    (key,) = register_sources(storage, [source("a.mp4")], PARAMS)
    touched = replace(source("a.mp4"), modified=NOON + 1e6)
    assert register_sources(storage, [touched], PARAMS) == [key] == registered_partitions(storage)


def test_a_root_of_an_earlier_release_goes_on(storage: Storage) -> None:
    """Its keys are 12 hex digits; members files had no times; one registration died between file and entry."""
    registered, dead, new = [source("a.mp4"), source("b.mp4")], [source("c.mp4")], [source("d.mp4")]
    old, unfinished = (digest(*(each.video_id for each in members), length=12) for members in (registered, dead))
    for key, members in ((old, registered), (unfinished, dead)):
        path = members_path(key, None)
        table = create_members_file(storage, path, members).drop(["modified_s"])
        write_members_file(storage, path, table)
    entry = {"partition": old, "videos": 2, "registration": "5f0c"}
    storage.write_bytes("partitions/_order/1.json", json.dumps(entry).encode())

    keys = register_sources(storage, [*registered, *dead, *new], ReadParams(partition_size=2))
    assert keys == registered_partitions(storage) == [old, key_of(*dead, *new)]
    assert read_members(storage, old)["uri"].to_pylist() == ["/in/a.mp4", "/in/b.mp4"]
    assert read_members(storage, old)["modified_s"].to_pylist() == [None, None]
    assert list(Register(storage).member_files) == keys
    assert register_sources(storage, registered, PARAMS) == [old]
