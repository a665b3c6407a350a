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
from tests.faults.measurements import note
from tests.faults.tables import check_files_whole, versions
from tests.faults.waiting import finished
from tests.phases import ScaledPhase, register_names

PLAIN: dict[str, Any] = {}
DECIDED: dict[str, Any] = {"min_width_px": 300}
WORKED: dict[str, Any] = {"factor": 2}
BOTH: dict[str, Any] = {"factor": 2, "min_width_px": 900}
MIXED = [PLAIN, PLAIN, DECIDED, BOTH]
NAMES = [*(f"{number:03}.mp4" for number in range(90)), "offline-1.mp4", "offline-2.mp4"]
OTHERS = [f"other-{number:03}.mp4" for number in range(60)]
"""Sources that the runs register at once, each some of them; neighbours share two thirds."""
OFFLINE = 2
"""Sources whose failure passes: every run tries them again."""


def registered(root: str | Path) -> str:
    """The one partition that holds the sources."""
    (partition,) = register_names(root, NAMES, partition_size=len(NAMES))
    return partition


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHASE_CLASSES, "read", ScaledPhase)


def run_at_once(folder: Path, roots: list[str], runs: list[dict[str, Any]], *, seed: int = 0) -> list[dict[str, Any]]:
    """One process for each of `runs`, all of them in all roots; what each says of each root."""
    (folder / "meet").mkdir()
    common = {"roots": roots, "of": len(runs), "meet": str(folder / "meet"), "flush_items": 16}
    (common["partition"],) = {registered(root) for root in roots}
    requests = [
        {**common, "seed": f"{seed}-{place}", "params": params, "names": OTHERS[10 * place :][:30]}
        for place, params in enumerate(runs)
    ]
    command = [sys.executable, "-m", "tests.faults.scaled_run"]
    with ThreadPoolExecutor(len(runs)) as pool:
        done = list(pool.map(lambda request: finished([*command, json.dumps(request)], stderr=None), requests))
    return [json.loads(line) for each in done for line in each.stdout.splitlines()]


def rows_alone(folder: Path, params: dict[str, Any]) -> list[Row]:
    """The table of a run that is alone."""
    scaled_run.run(str(folder), registered(folder), params)
    return read_manifest(str(folder), "videos").to_pylist()


def check_versions(root: str, expected: list[list[Row]]) -> int:
    """Look at each version of the only table of the root; returns how many there are."""
    storage = Storage(root)
    ref = ManifestRef(storage.root, "videos", registered(root))
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
    """All that is promised of runs at once."""
    choices = [params for place, params in enumerate(runs) if params not in runs[:place]]
    expected = [rows_alone(folder / f"alone-{place}", params) for place, params in enumerate(choices)]
    done = run_at_once(folder, roots, runs, seed=seed)
    assert not any(each["missing"] for each in done)
    commits = [check_versions(root, expected) for root in roots]
    for root in roots:
        check_register(root, runs=len(runs))
    for params, rows in zip(choices, expected, strict=True):
        again = scaled_run.run(roots[0], registered(roots[0]), params)
        assert (again["computed"], again["redecided"]) == (OFFLINE, 0)
        assert read_manifest(roots[0], "videos").to_pylist() == rows
    once = len({params.get("factor", 1) for params in runs}) * (len(NAMES) - OFFLINE) * len(roots)
    twice = sum(each["computed"] - OFFLINE for each in done) - once
    figures = {"runs": len(done), "versions": sum(commits), "rows": sum(each["rows"] for each in done)}
    store = "bucket" if "://" in roots[0] else "folder"
    note("two runs at once", store=store, seed=seed, rows_computed_twice=twice, **figures)


def test_runs_at_once_in_a_folder_commit_whole_tables(tmp_path: Path) -> None:
    check_runs(tmp_path, [str(tmp_path / f"root-{number}") for number in range(3)], MIXED)


def test_runs_at_once_in_a_bucket_commit_whole_tables(tmp_path: Path, s3_bucket: str) -> None:
    check_runs(tmp_path, [f"{s3_bucket}/root"], MIXED)


CASES = {
    "equal": [PLAIN] * 4,
    "decisions": [PLAIN, DECIDED, PLAIN, DECIDED],
    "work": [PLAIN, WORKED, PLAIN, WORKED],
    "all": [PLAIN, DECIDED, WORKED, BOTH],
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
