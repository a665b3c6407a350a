"""The lease: one holder at a time, in a folder and in a bucket, whoever dies or is slow."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.errors import StorageError
from stages.storage import Storage, exclusive, lease

FOLDER = "leases/x"


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('s3_bucket')}/root"


def add_lines(root: str, count: int) -> None:
    """Read a number and write the next, which goes wrong wherever two processes do it at once."""
    storage = Storage(root)
    for _ in range(count):
        with exclusive(storage, FOLDER) as held:
            held.check()
            number = int(storage.read_bytes("number")) if storage.exists("number") else 0
            time.sleep(0.01)
            storage.write_bytes("number", str(number + 1).encode())


def test_processes_take_turns(root: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_lines, args=(root, 5)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    storage = Storage(root)
    assert storage.read_bytes("number") == b"15"
    assert all(json.loads(storage.read_bytes(entry.path))["is_free"] for entry in storage.list(FOLDER))


HOLD = """
import sys, time
from stages.storage import Storage, exclusive
with exclusive(Storage(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_lease_of_a_killed_process_is_taken_over_at_once(root: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, root, FOLDER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    began = time.monotonic()
    with exclusive(Storage(root), FOLDER) as held:
        held.check()
    assert time.monotonic() - began < lease.LEASE_S / 2


def test_lease_of_another_machine_is_taken_over_once_it_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    storage = Storage(tmp_path)
    entry = {"token": "t", "machine": "elsewhere", "pid": 1, "started": "1", "counter": 0, "is_free": False}
    storage.write_bytes(f"{FOLDER}/7.json", json.dumps(entry).encode())
    began = time.monotonic()
    with exclusive(storage, FOLDER):
        assert time.monotonic() - began >= 1.0
        assert f"{FOLDER}/8.json" in [info.path for info in storage.list(FOLDER)]


def test_holder_that_was_stopped_for_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with exclusive(Storage(tmp_path), FOLDER) as held:
        held.check()
        monkeypatch.setattr(held, "_renewed_at", time.monotonic() - lease.LEASE_S)
        with pytest.raises(StorageError, match="must be renewed every 5 s, and was not for 30 s"):
            held.check()


def test_damaged_entry_is_taken_over_once_it_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.5)
    storage = Storage(tmp_path)
    storage.write_bytes(f"{FOLDER}/1.json", b"{")
    with exclusive(storage, FOLDER):
        assert f"{FOLDER}/2.json" in [info.path for info in storage.list(FOLDER)]


def test_old_entries_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_ENTRIES_KEPT", 4)
    storage = Storage(tmp_path)
    for _ in range(9):
        with exclusive(storage, FOLDER):
            pass
    assert sorted(info.path for info in storage.list(FOLDER)) == [f"{FOLDER}/{number}.json" for number in range(5, 10)]
