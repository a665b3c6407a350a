"""Records of runs: their order, signs of life, and how the end of a killed one is told."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages import run_records
from stages.run_records import MAX_NAMED_PARTITIONS, RunRecord, read_run, read_runs
from stages.storage import Storage
from tests.faults.waiting import wait_until


def test_runs_that_begin_at_once_have_numbers_of_their_own(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        records = list(threads.map(lambda number: RunRecord.begin(storage, f"id{number}"), range(8)))
    assert sorted(record.number for record in records) == list(range(1, 9))
    assert {run.entry.number for run in read_runs(storage) if run.is_alive} == set(range(1, 9))
    for record in records:
        record.end()
    assert not any(run.is_alive for run in read_runs(storage))
    assert [run.entry.number for run in read_runs(storage)] == list(range(8, 0, -1))


def test_record_is_written_anew_with_the_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_records, "BEAT_S", 0.01)
    record = RunRecord.begin(Storage(tmp_path), "id")
    record.show({"phase": "split"})

    def progress() -> object:
        entry = read_run(Storage(tmp_path), 1)
        return entry and entry.progress

    wait_until(lambda: progress() == {"phase": "split"}, describe=progress)
    record.end()
    entry = read_run(Storage(tmp_path), 1)
    assert entry is not None
    assert (entry.has_ended, entry.progress) == (True, {})
    assert entry.beats > 1


def test_partitions_are_said_before_they_are_worked_on(tmp_path: Path) -> None:
    record = RunRecord.begin(Storage(tmp_path), "id")
    record.work_on(["b"])
    record.work_on(["a"])
    entry = read_run(Storage(tmp_path), 1)
    assert entry is not None
    assert entry.partitions == ["a", "b"]
    assert (entry.may_name("a"), entry.may_name("c")) == (True, False)
    record.work_on([str(number) for number in range(MAX_NAMED_PARTITIONS)])
    entry = read_run(Storage(tmp_path), 1)
    record.end()
    assert entry is not None
    assert entry.may_name("c")


def test_killed_run_is_not_alive(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from stages.run_records import RunRecord; from stages.storage import Storage; "
        "RunRecord.begin(Storage(sys.argv[1]), 'id'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=100)
    (run,) = read_runs(Storage(tmp_path))
    assert (run.entry.has_ended, run.is_alive) == (False, False)


def test_run_on_another_machine_is_dead_once_it_is_silent(tmp_path: Path) -> None:
    record = RunRecord.begin(Storage(tmp_path), "id")
    record.end()
    path = tmp_path / "runs" / "1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another", "has_ended": False}))
    (run,) = read_runs(Storage(tmp_path))
    assert run.is_alive
    then = path.stat().st_mtime - run_records.DEAD_S - 1
    os.utime(path, (then, then))
    (run,) = read_runs(Storage(tmp_path))
    assert not run.is_alive
    assert run.silent_s > run_records.DEAD_S


def test_records_of_runs_from_long_ago_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_records, "_RECORDS_KEPT", 2)
    storage = Storage(tmp_path)
    for _ in range(4):
        RunRecord.begin(storage, "id").end()
    assert [run.entry.number for run in read_runs(storage)] == [4, 3]
    alive = RunRecord.begin(storage, "id")
    for _ in range(3):
        RunRecord.begin(storage, "id").end()
    assert [run.entry.number for run in read_runs(storage)] == [8, 7, 6, alive.number]
    alive.end()


def test_damaged_record_is_none(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    record = RunRecord.begin(storage, "id")
    record.end()
    storage.write_bytes("runs/1.json", b"{")
    assert read_run(storage, 1) is None
    assert read_runs(storage) == []
