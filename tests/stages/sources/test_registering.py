import json
import multiprocessing
import shutil
import threading
from pathlib import Path

import pytest

from stages.errors import ManifestError, ParamsError
from stages.params import ReadParams
from stages.sources import (
    Register,
    RegisterEntry,
    Source,
    read_members,
    register_batches,
    register_sources,
    register_time_windows,
    registered_partitions,
)
from stages.storage import Storage
from tests.faults.waiting import STALL_TIMEOUT_S

PARAMS = ReadParams(partition_size=8)
BY_TWO = ReadParams(partition_size=2)


def source(uri: str, etag: str = "1", size_bytes: int | None = None) -> Source:
    """A source whose size is its own, unless another is given."""
    return Source(uri, etag, int.from_bytes(uri.encode()[:7]) if size_bytes is None else size_bytes)


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")


def test_register_sources_keeps_known_ones_where_they_are(storage: Storage) -> None:
    first = register_sources(storage, [source("/a"), source("/b"), source("/c")], BY_TWO)
    assert [len(read_members(storage, partition)) for partition in first] == [2, 1]
    again = register_sources(storage, [source("/c"), source("/d")], BY_TWO)
    assert again[0] == first[1]
    assert len(again) == 2
    assert registered_partitions(storage) == [*first, again[1]]
    assert register_sources(storage, [source("/a"), source("/b"), source("/c")], BY_TWO) == first


def test_register_sources_finishes_a_registration_that_died(storage: Storage) -> None:
    (partition,) = register_sources(storage, [source("/a")], BY_TWO)
    storage.delete("partitions/_order/1.json")
    assert registered_partitions(storage) == []
    assert register_sources(storage, [source("/a")], BY_TWO) == [partition]
    assert registered_partitions(storage) == [partition]


def test_superseded_names_what_was_registered_again_with_other_content(storage: Storage) -> None:
    old, same, newer = source("/a", "1"), source("/b", "1"), source("/a", "2")
    (first,) = register_sources(storage, [old, same], PARAMS)
    assert Register(storage).superseded() == {}
    (second,) = register_sources(storage, [newer], PARAMS)
    register_sources(storage, [source("/a", "3")], PARAMS)
    assert Register(storage).superseded() == {first: {old.video_id}, second: {newer.video_id}}


def test_superseded_follows_the_version_that_was_listed_last(storage: Storage) -> None:
    old, newer = source("/a", "1"), source("/a", "2")
    (first,) = register_sources(storage, [old], PARAMS)
    (second,) = register_sources(storage, [newer], PARAMS)
    for _ in range(2):  # the second listing says nothing new, so that the log does not grow
        assert register_sources(storage, [old], PARAMS) == [first]
    assert Register(storage).superseded() == {second: {newer.video_id}}
    assert len(storage.list("partitions/_order")) == 3
    assert register_sources(storage, [newer], PARAMS) == [second]
    assert Register(storage).superseded() == {first: {old.video_id}}
    assert registered_partitions(storage) == Register(storage).partitions_of({"/a"}) == [first, second]


def test_read_held_members_are_those_of_the_partition_registered_first(storage: Storage, tmp_path: Path) -> None:
    (first,) = register_sources(storage, [source("/a"), source("/b")], PARAMS)
    other = Storage(f"{storage.root}-other")
    (second,) = register_sources(other, [source("/b"), source("/c")], PARAMS)
    for path in (f"partitions/{second}.parquet", "partitions/_order/1.json"):
        storage.create_bytes(path.replace("1.json", "2.json"), other.read_bytes(path))
    register = Register(storage)
    assert register.read_held_members(first)["uri"].to_pylist() == ["/a", "/b"]
    assert register.read_held_members(second)["uri"].to_pylist() == ["/c"]
    assert register_sources(storage, [source("/b")], PARAMS) == [first]


def test_append_follows_what_another_process_appended(storage: Storage) -> None:
    late = Register(storage)
    (partition,) = register_sources(storage, [source("/a")], PARAMS)
    assert not late.append({"relisted": []})
    assert late.partition_by_video_id == {source("/a").video_id: partition}
    assert late.append({"relisted": []})


def register_after(barrier: threading.Barrier, root: str, first: int, size: int) -> None:
    sources = [source(f"/{number:03}") for number in range(first, first + 60)]
    barrier.wait(STALL_TIMEOUT_S)
    register_sources(Storage(root), sources, ReadParams(partition_size=size))


@pytest.mark.system
def test_register_sources_gives_a_video_one_partition_whatever_processes_race(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    racing = [context.Process(target=register_after, args=(barrier, str(tmp_path), 30 * n, 1 + n)) for n in range(2)]
    try:
        for process in racing:
            process.start()
        for process in racing:
            process.join()
    finally:
        for process in racing:
            process.kill()
    assert [process.exitcode for process in racing] == [0, 0]
    storage = Storage(tmp_path)
    everything = [source(f"/{number:03}") for number in range(90)]
    held = [read_members(storage, key)["uri"].to_pylist() for key in registered_partitions(storage)]
    assert sorted(uri for uris in held for uri in uris) == [source.uri for source in everything]
    assert set(register_sources(storage, everything, PARAMS)) == set(registered_partitions(storage))


def test_read_members_rejects_an_unknown_partition(storage: Storage) -> None:
    with pytest.raises(ManifestError, match="must be registered"):
        read_members(storage, "nothing")


def test_register_sources_passes_over_files_of_others(storage: Storage) -> None:
    sources = [Source("/videos/a.mp4", "1", 1)]
    partitions = register_sources(storage, sources, PARAMS)
    for name in (".DS_Store", "._1.json", "notes.json"):
        storage.write_bytes(f"partitions/_order/{name}", b"\x00")
    assert register_sources(storage, sources, PARAMS) == registered_partitions(storage) == partitions


@pytest.mark.parametrize("name", ["partitions/{}.parquet", "partitions/_order/1.json"])
@pytest.mark.parametrize("data", [b"", b"torn", b"[1]"])
def test_register_sources_rejects_a_damaged_file(name: str, data: bytes, storage: Storage) -> None:
    (partition,) = register_sources(storage, [Source("/videos/a.mp4", "1", 1)], PARAMS)
    storage.write_bytes(name.format(partition), data)
    with pytest.raises(ManifestError, match=r"is damaged|must hold an entry"):
        register_sources(storage, [Source("/videos/b.mp4", "1", 1)], PARAMS)


def sources_of(*names: str) -> list[Source]:
    return [source(f"/{name}") for name in names]


def are_equal(register: Register, other: Register) -> bool:
    """True where both hold the same state."""
    names = ("last_number", "member_files", "partition_by_video_id", "newest_version", "relistings")
    return (
        all(getattr(register, name) == getattr(other, name) for name in names)
        and list(register.member_files) == list(other.member_files)
        and register.entries_after(0) == other.entries_after(0)
        and register.superseded() == other.superseded()
    )


def test_register_batches_stops_at_the_deadline_and_continues(storage: Storage) -> None:
    register, sources = Register(storage), [source(f"/{number:02}") for number in range(20)]
    remaining = register_batches(register, sources, ReadParams(partition_size=1), deadline=0)
    assert remaining == sources[8:]
    assert register_batches(register, remaining, ReadParams(partition_size=100)) == []
    assert [len(read_members(storage, key)) for key in registered_partitions(storage)] == [1] * 8 + [12]
    assert register_batches(register, sources, PARAMS) == register.unregistered(sources) == []


def test_entries_of_one_call_have_one_registration(storage: Storage) -> None:
    register = Register(storage)
    register_batches(register, sources_of("a", "b", "c"), BY_TWO)
    register_batches(register, [source("/a", "2"), *sources_of("d")], PARAMS)
    register_batches(register, sources_of("a"), PARAMS)
    register_batches(register, [source("/a", "2")], PARAMS)
    register_batches(register, sources_of("a"), PARAMS)
    entries = register.entries_after(0)
    first, second, third = register.member_files
    assert [(entry.number, entry.partition, entry.affected_partitions) for entry in entries] == [
        (1, first, ()),
        (2, second, ()),
        (3, third, (first,)),
        *((number, None, tuple(sorted((first, third)))) for number in (4, 5, 6)),
    ]
    assert [entry.registration == entries[0].registration for entry in entries[:3]] == [True, True, False]
    assert len({entry.registration for entry in entries}) == 5
    assert register.entries_after(4) == entries[4:]
    assert are_equal(Register(storage), register)


def test_entries_of_an_older_log_have_a_registration_each(storage: Storage) -> None:
    (key,) = register_sources(storage, sources_of("a"), PARAMS)
    entry = json.loads(storage.read_bytes("partitions/_order/1.json"))
    del entry["registration"]
    storage.write_bytes("partitions/_order/1.json", json.dumps(entry).encode())
    assert Register(storage).entries_after(0) == [RegisterEntry(1, key, "1", ())]


def test_refresh_follows_only_what_is_new(storage: Storage) -> None:
    register = Register(storage)
    register.refresh()
    for start in range(0, 40, 20):
        register_sources(storage, [source(f"/{number}") for number in range(start, start + 20)], BY_TWO)
        register.refresh()
        assert are_equal(register, Register(storage))
    for number in range(1, 15):
        storage.delete(f"partitions/_order/{number}.json")
    register.refresh()
    assert len(register.partition_by_video_id) == 40


def test_register_time_windows_adds_late_members_to_a_partition(storage: Storage) -> None:
    register, day, hour = Register(storage), "2026-01-01", "2026-01-01-05:00"
    assert register_time_windows(register, {day: sources_of("a", "b"), hour: sources_of("c")}) == []
    first = storage.read_bytes(f"partitions/{day}.parquet")
    assert register_time_windows(register, {day: [*sources_of("b", "d"), source("/a", "2")]}) == []
    assert registered_partitions(storage) == [day, hour]
    assert read_members(storage, day)["uri"].to_pylist() == ["/a", "/b", "/d", "/a"]
    assert storage.read_bytes(f"partitions/{day}.parquet") == first
    assert register.superseded() == {day: {source("/a").video_id}}
    assert [(entry.partition, entry.affected_partitions) for entry in register.entries_after(2)] == [(day, ())]
    assert are_equal(Register(storage), register)
    assert register_time_windows(register, {hour: sources_of("b")}) == []
    assert register.last_number == 3


def test_register_time_windows_takes_over_members_of_a_registration_that_died(storage: Storage) -> None:
    register_time_windows(Register(storage), {"2026-01-01": sources_of("a", "b")})
    storage.delete("partitions/_order/1.json")
    register = Register(storage)
    register_time_windows(register, {"2026-01-01": sources_of("b", "c")})
    assert register.read_held_members("2026-01-01")["uri"].to_pylist() == ["/a", "/b", "/c"]
    assert [entry.number for entry in register.entries_after(0)] == [1, 2]


@pytest.mark.parametrize("key", ["", "../x", "a/b", "a.b", "a,b", "_order", "é"])
def test_register_time_windows_rejects_a_key_that_is_no_name(storage: Storage, key: str) -> None:
    with pytest.raises(ParamsError, match="Keys of partitions"):
        register_time_windows(Register(storage), {key: sources_of("a")})


def test_register_time_windows_gives_a_video_one_partition_whatever_registers_race(storage: Storage) -> None:
    registers = [Register(storage) for _ in range(2)]
    for number, register in enumerate(registers):
        register_time_windows(register, {"2026-01-01": sources_of("a", str(number)), f"day-{number}": sources_of("b")})
    registers[0].refresh()
    assert are_equal(registers[0], registers[1])
    held = [uri for key in registers[0].member_files for uri in registers[0].read_held_members(key)["uri"].to_pylist()]
    assert sorted(held) == ["/0", "/1", "/a", "/b"]


def test_register_sources_takes_partitions_by_prefix(storage: Storage) -> None:
    listed = [Source(f"/in/{path}", "1", 1, path=path) for path in ("a/1", "a/2", "b/1", "c")]
    keys = register_sources(storage, listed, ReadParams(partition_by="prefix"))
    assert [read_members(storage, key)["uri"].to_pylist() for key in keys] == [
        ["/in/a/1", "/in/a/2"],
        ["/in/b/1"],
        ["/in/c"],
    ]


def test_a_window_without_sources_is_a_partition_without_members(tmp_path: Path) -> None:
    register = Register(Storage(str(tmp_path)))
    assert register_time_windows(register, {"2026-01-01": [], "2026-01-02": [Source("a.mp4", "1", 1)]}) == []
    register_time_windows(register, {"2026-01-01": []})
    again = Register(Storage(str(tmp_path)))
    assert list(again.member_files) == ["2026-01-01", "2026-01-02"]
    assert len(again.entries_after(0)) == 2
    assert len(again.read_held_members("2026-01-01")) == 0


def test_refresh_begins_anew_where_the_root_was_made_anew(tmp_path: Path) -> None:
    register = Register(Storage(str(tmp_path / "root")))
    register_batches(register, [Source("a.mp4", "1", 1)], ReadParams())
    shutil.rmtree(tmp_path / "root")
    register.refresh()
    assert (register.last_number, register.member_files) == (0, {})
    other = Register(Storage(str(tmp_path / "root")))
    register_batches(register, [Source("a.mp4", "1", 1)], ReadParams())
    shutil.rmtree(tmp_path / "root")
    register_batches(other, [Source("b.mp4", "1", 1)], ReadParams())
    register.refresh()
    assert register.newest_version.keys() == {"b.mp4"}
