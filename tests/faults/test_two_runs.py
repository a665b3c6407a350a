"""Runs of the same partition at once.

1. Every version of a table is row for row one that some single run would have written.
2. Every file that any version names is there and whole.
3. A run afterwards computes nothing that is there already.
4. Sources that several runs register at once are each held by one partition.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stages.manifest import ManifestRef, read_commit, read_manifest
from stages.manifest.commits import count_rows
from stages.run.phases import PHASE_CLASSES
from stages.sources import Register
from stages.storage import Storage
from stages.tasks import Row
from tests.faults import scaled_run
from tests.faults.measurements import record
from tests.faults.tables import check_files_whole, versions
from tests.faults.waiting import run_command
from tests.phases import ScaledPhase, register_names

pytestmark = pytest.mark.system

DEFAULTS: dict[str, Any] = {}
OTHER_DECISION: dict[str, Any] = {"min_width_px": 300}
OTHER_WORK: dict[str, Any] = {"factor": 2}
OTHER_BOTH: dict[str, Any] = {"factor": 2, "min_width_px": 900}
MIXED = [DEFAULTS, DEFAULTS, OTHER_DECISION, OTHER_BOTH]
NAMES = [*(f"{number:03}.mp4" for number in range(90)), "offline-1.mp4", "offline-2.mp4"]
OTHERS = [f"other-{number:03}.mp4" for number in range(60)]
"""Sources that the runs register at once, each some of them; neighbours share two thirds."""
NUM_OFFLINE = 2
"""Sources whose failure passes: every run tries them again."""


def register_partition(root: str | Path) -> str:
    """The one partition that holds the sources."""
    (partition,) = register_names(root, NAMES, partition_size=len(NAMES))
    return partition


@pytest.fixture(autouse=True)
def scaled_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHASE_CLASSES, "read", ScaledPhase)


def run_at_once(folder: Path, roots: list[str], runs: list[dict[str, Any]], *, seed: int = 0) -> list[dict[str, Any]]:
    """Start a process for each of `runs`, all at once over all roots; return their reports, one per run and root."""
    barrier = folder / "barrier"
    barrier.mkdir()
    common = {"roots": roots, "num_processes": len(runs), "barrier": str(barrier), "flush_items": 16}
    (common["partition"],) = {register_partition(root) for root in roots}
    requests = [
        {**common, "seed": f"{seed}-{index}", "params": params, "names": OTHERS[10 * index :][:30]}
        for index, params in enumerate(runs)
    ]
    command = [sys.executable, "-m", "tests.faults.scaled_run"]
    with ThreadPoolExecutor(len(runs)) as pool:
        done = list(pool.map(lambda request: run_command([*command, json.dumps(request)], stderr=None), requests))
    return [json.loads(line) for each in done for line in each.stdout.splitlines()]


def rows_of_single_run(folder: Path, params: dict[str, Any]) -> list[Row]:
    """The table of a single run."""
    scaled_run.run(str(folder), register_partition(folder), params)
    return read_manifest(str(folder), "videos").to_pylist()


def check_versions(root: str, expected: list[list[Row]]) -> int:
    """Check each version of the only table of the root; return the number of versions."""
    storage = Storage(root)
    ref = ManifestRef(storage.root, "videos", register_partition(root))
    commits = list(versions(storage, ref))
    for commit in commits:
        table = read_commit(storage, ref, commit)
        assert table.to_pylist() in expected, f"version {commit.number} of {root}"
        assert (commit.counts, commit.reasons) == count_rows(table)
        check_files_whole(storage, ref, commit)
    assert commits
    return len(commits)


def check_register(root: str, *, runs: int) -> None:
    """Each source is held by one partition, whoever registered it."""
    register = Register(Storage(root))
    held = [
        uri for partition in register.member_files for uri in register.read_held_members(partition)["uri"].to_pylist()
    ]
    assert sorted(held) == sorted(f"/videos/{name}" for name in [*NAMES, *OTHERS[: 10 * runs + 20]])


def check_runs(folder: Path, roots: list[str], runs: list[dict[str, Any]], *, seed: int = 0) -> None:
    """Check all promises about runs at once."""
    choices = [params for index, params in enumerate(runs) if params not in runs[:index]]
    expected = [rows_of_single_run(folder / f"alone-{index}", params) for index, params in enumerate(choices)]
    done = run_at_once(folder, roots, runs, seed=seed)
    assert not any(each["missing"] for each in done)
    commits = [check_versions(root, expected) for root in roots]
    for root in roots:
        check_register(root, runs=len(runs))
    for params, rows in zip(choices, expected, strict=True):
        again = scaled_run.run(roots[0], register_partition(roots[0]), params)
        assert (again["computed"], again["redecided"]) == (NUM_OFFLINE, 0)
        assert read_manifest(roots[0], "videos").to_pylist() == rows
    once = len({params.get("factor", 1) for params in runs}) * (len(NAMES) - NUM_OFFLINE) * len(roots)
    twice = sum(each["computed"] - NUM_OFFLINE for each in done) - once
    figures = {"runs": len(done), "versions": sum(commits), "rows": sum(each["rows"] for each in done)}
    store = "bucket" if "://" in roots[0] else "folder"
    record("two runs at once", store=store, seed=seed, rows_computed_twice=twice, **figures)


def test_runs_at_once_in_a_folder_commit_whole_tables(tmp_path: Path) -> None:
    check_runs(tmp_path, [str(tmp_path / f"root-{number}") for number in range(3)], MIXED)


def test_runs_at_once_in_a_bucket_commit_whole_tables(tmp_path: Path, s3_bucket: str) -> None:
    check_runs(tmp_path, [f"{s3_bucket}/root"], MIXED)


CASES = {
    "equal": [DEFAULTS] * 4,
    "decisions": [DEFAULTS, OTHER_DECISION, DEFAULTS, OTHER_DECISION],
    "work": [DEFAULTS, OTHER_WORK, DEFAULTS, OTHER_WORK],
    "all": [DEFAULTS, OTHER_DECISION, OTHER_WORK, OTHER_BOTH],
}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("runs", CASES.values(), ids=CASES)
@pytest.mark.parametrize("store", ["folder", "bucket"])
def test_many_runs_at_once_commit_whole_tables(
    store: str, runs: list[dict[str, Any]], seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base = request.getfixturevalue("s3_bucket") if store == "bucket" else str(tmp_path)
    check_runs(tmp_path, [f"{base}/root-{number}" for number in range(10)], runs, seed=seed)
