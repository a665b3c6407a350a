"""What `curator status` tells of runs that work, have ended, or died, and of places where none ever was."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from curator_dagster.cli import app
from stages import run_records
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, ReadParams
from stages.run import open_session, session
from stages.run.phases import PHASE_CLASSES
from stages.run_records import RunRecord, read_runs
from stages.storage import Storage
from tests.faults.waiting import wait_until
from tests.phases import ToyPhase, register_names


def status(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["status", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def run_and_look(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, look: Callable[[], None]) -> None:
    """Run a phase over three sources, of which one fails, and look at it once two are done."""
    monkeypatch.setitem(PHASE_CLASSES, "read", ToyPhase)
    monkeypatch.setattr(ToyPhase, "log", str(tmp_path / "worked.txt"))
    monkeypatch.setattr(run_records, "BEAT_S", 0.01)
    monkeypatch.setattr(session, "STATUS_INTERVAL_S", 0.0)
    partitions = register_names(root, ["a", "corrupt", "z"], partition_size=2)
    outputs = [ManifestRef(str(root), "videos", each) for each in partitions]
    has_looked = False

    def on_progress(progress: Any) -> None:
        nonlocal has_looked
        if progress.done >= 2 and not has_looked:
            has_looked = True
            look()

    with open_session(ExecutorParams(mode="local"), on_progress) as running:
        running.run_phase(ReadParams(max_failed_fraction=1), {}, outputs)
    assert has_looked


def test_status_of_a_running_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    seen: list[dict[str, Any]] = []
    texts: list[str] = []

    def look() -> None:
        def at_work() -> list[dict[str, Any]]:
            return json.loads(status(root, "--json"))["at_work"]

        wait_until(lambda: bool(at_work()) and bool(at_work()[0]["progress"]), describe=at_work)
        seen.extend(at_work())
        texts.append(status(root))

    run_and_look(root, monkeypatch, tmp_path, look)
    [run] = seen
    assert (run["run"], run["state"], run["pid"]) == (1, "at work", os.getpid())
    assert run["silent_s"] < 60
    progress = run["progress"]
    assert (progress["phase"], progress["partitions"]) == ("read", 2)
    assert progress["done"] + progress["left"] >= 1
    assert progress["stages"]["toy"]["tasks"] >= 1
    assert "at work, last sign of life" in texts[0]
    assert "read: " in texts[0]
    [last] = [json.loads(status(root, "--json"))["last"]]
    assert (last["run"], last["state"], last["progress"]) == (1, "ended", {})
    assert f"No run is at work on {root}." in status(root)


def test_status_counts_what_failed(tmp_path: Path) -> None:
    record = RunRecord.begin(Storage(tmp_path), "5f1c0000")
    node = {"busy": 3, "idle": 1, "starting": 0}
    stage = {
        "tasks": 9,
        "retries": 1,
        "waiting": 4,
        "held_bytes": 2_000_000,
        "busy_workers": 3,
        "deaths": {"stalled": 2},
    }
    record.show(
        {
            **{"phase": "embed", "activity": "", "in_work": ["p1"], "partitions_done": 1, "partitions": 3},
            **{"done": 7, "failed": 2, "left": 5, "is_planned": False, "items_per_s": 0.5, "seconds": 200.0},
            **{"remaining_s": None, "failures": {"stalled": 2}, "stages": {"embed": {**stage, "busy_share": 0.75}}},
            **{"nodes": {"abc": node}, "left_out_nodes": {"def": "lost its device"}},
        }
    )
    record.work_on(["p1"])
    printed = status(tmp_path)
    record.end()
    for text in (
        "embed: 7 items done, 2 of them failed, 5 left or more, 0.5 items/s, 3 min 20 s",
        "partitions: 1 of 3 done, in work: p1",
        "failed with stalled: 2",
        "left out: node def: lost its device",
    ):
        assert text in printed
    rows = [line.split() for line in printed.splitlines()]
    assert ["embed", "4", "2.0", "3", "75%", "9", "1", "2"] in rows
    assert ["abc", "3", "1", "0", "75%"] in rows


def test_status_of_a_dead_run(tmp_path: Path) -> None:
    record = RunRecord.begin(Storage(tmp_path), "id")
    record.end()
    path = tmp_path / "runs" / "1.json"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({**entry, "has_ended": False, "process": "of another process that had this id"}))
    then = path.stat().st_mtime - 3600
    os.utime(path, (then, then))
    assert "dead: its process is gone, or was not heard of; last sign of life 60 min ago" in status(tmp_path)
    assert json.loads(status(tmp_path, "--json"))["last"]["state"] == "dead"
    assert [run.is_alive for run in read_runs(Storage(tmp_path))] == [False]


def test_status_of_a_root_on_which_nothing_ran(tmp_path: Path) -> None:
    register_names(tmp_path, ["a"])
    assert status(tmp_path) == f"No run is at work on {tmp_path}.\n"
    assert json.loads(status(tmp_path, "--json")) == {"root": str(tmp_path), "at_work": [], "last": None}


def test_status_refuses_a_wrong_place(tmp_path: Path) -> None:
    assert "where nothing of a root is" in status(tmp_path / "nowhere", code=2)
    assert "requires ROOT or --address, one of them" in status(code=2)
    assert "requires ROOT or --address, one of them" in status(tmp_path, "--address", "auto", code=2)


def test_status_of_no_cluster() -> None:
    assert "--address must lead to a running Ray, got '127.0.0.1:1'" in status("--address", "127.0.0.1:1", code=2)
