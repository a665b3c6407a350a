import itertools
import logging
import threading
from pathlib import Path

import pytest

from stages.params import ReadParams
from stages.sources import (
    Register,
    Source,
    copy_register,
    register_batches,
    register_sources,
    register_time_windows,
    registered_partitions,
)
from stages.storage import Storage
from tests.faults.waiting import STALL_TIMEOUT_S
from tests.stages.sources.test_registering import are_equal

ONE = ReadParams(partition_size=1)


@pytest.fixture(params=["local", "bucket"])
def any_storage(request: pytest.FixtureRequest, storage: Storage) -> Storage:
    """The same on a real object store too."""
    if request.param == "bucket":
        return Storage(f"{request.getfixturevalue('s3_bucket')}/root")
    return storage


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A root of which a snapshot is taken every four entries."""
    monkeypatch.setattr("stages.sources.register.ENTRIES_PER_SNAPSHOT", 4)
    return Storage(tmp_path)


def sources(*numbers: int, etag: str = "1") -> list[Source]:
    return [Source(f"/{number}", etag, 1) for number in numbers]


def snapshots(storage: Storage) -> list[str]:
    return [info.path for info in storage.list("partitions/_order") if "upto" in info.path]


def fill(storage: Storage) -> Register:
    """A register that was kept over additions, newer versions and relistings."""
    register_sources(storage, sources(1, 2), ONE)
    register = Register(storage)
    register_sources(storage, sources(3), ONE)
    register_time_windows(register, {"2026-01-01": sources(4, 5)})
    register_sources(storage, sources(1, etag="2"), ONE)
    register_time_windows(register, {"2026-01-01": sources(6)})
    register_sources(storage, sources(1), ONE)
    register.refresh()
    return register


def from_the_log(storage: Storage) -> Register:
    for path in snapshots(storage):
        storage.delete(path)
    return Register(storage)


def test_a_register_from_a_snapshot_is_that_from_the_log(any_storage: Storage) -> None:
    register = fill(any_storage)
    register.save_snapshot()
    assert snapshots(any_storage)
    from_snapshot, partitions = Register(any_storage), registered_partitions(any_storage)
    assert are_equal(from_snapshot, register)
    assert partitions == list(register.member_files)
    assert are_equal(from_the_log(any_storage), register)
    assert registered_partitions(any_storage) == partitions


def test_a_register_reads_a_snapshot_instead_of_what_it_covers(storage: Storage) -> None:
    keys = register_sources(storage, sources(*range(4)), ONE)
    for key in keys:
        storage.delete(f"partitions/{key}.parquet")
    assert set(Register(storage).partition_by_video_id.values()) == set(keys)


def test_only_the_last_two_snapshots_stay(storage: Storage) -> None:
    for start in range(0, 16, 4):
        register_sources(storage, sources(*range(start, start + 4)), ONE)
    assert [path.split("upto-")[1].split(".")[0] for path in snapshots(storage)] == ["12", "16"]


def test_a_register_is_copied_while_others_register(storage: Storage, tmp_path: Path) -> None:
    """Each copy holds all that was registered before it began, in order, whichever snapshots came and went."""
    stop, grown, registered, found = threading.Event(), threading.Condition(), list[str](), list[str]()

    def register() -> None:
        own = Register(storage)
        for number in itertools.count():
            if stop.is_set():
                return
            register_batches(own, sources(number), ONE)
            with grown:
                registered[:] = own.member_files
                grown.notify()

    others = threading.Thread(target=register)
    others.start()
    try:
        for number in range(10):
            copy = Storage(tmp_path / f"copy-{number}")
            with grown:
                assert grown.wait_for(lambda least=5 * (number + 1): len(registered) > least, timeout=STALL_TIMEOUT_S)
                before = list(registered)
            copy_register(storage, copy)
            found = list(Register(copy).member_files)
            assert found[: len(before)] == before
            assert found == registered_partitions(copy)
    finally:
        stop.set()
        others.join()
    assert len(snapshots(storage)) == 2
    assert found == registered_partitions(storage)[: len(found)]


@pytest.mark.parametrize("damage", [b"", b"torn", None])
def test_a_damaged_snapshot_is_passed_over_and_made_anew(
    storage: Storage, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    register_sources(storage, sources(*range(4)), ONE)
    (path,) = snapshots(storage)
    data = storage.read_bytes(path)
    storage.write_bytes(path, data[:100] + b"\xff" + data[101:] if damage is None else damage)
    with caplog.at_level(logging.WARNING, "stages.sources.snapshot"):
        assert len(Register(storage).partition_by_video_id) == 4
    assert "is damaged" in caplog.text
    register_sources(storage, sources(4), ONE)
    assert are_equal(Register(storage), from_the_log(storage))


def test_a_snapshot_of_another_log_is_passed_over(storage: Storage) -> None:
    first, second, *_ = register_sources(storage, sources(*range(4)), ONE)
    for path in ("partitions/_order/2.json", f"partitions/{second}.parquet"):
        storage.delete(path)
    assert second not in registered_partitions(storage)
    assert set(Register(storage).member_files) == set(registered_partitions(storage))
    keys = register_sources(storage, sources(*range(4)), ONE)
    assert [keys[0], keys[-1]] == [first, second]


def test_a_kept_register_outlives_the_snapshot_that_it_began_with(storage: Storage) -> None:
    register_sources(storage, sources(*range(4)), ONE)
    register = Register(storage)
    for path in snapshots(storage):
        storage.delete(path)
    register_time_windows(register, {f"day-{number}": sources(number) for number in range(4, 8)})
    assert len(snapshots(storage)) == 1
    assert are_equal(Register(storage), register)
