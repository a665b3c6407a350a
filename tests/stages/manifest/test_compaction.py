"""Merging small row files changes no row, no version and no key, wherever it is killed."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stages.maintenance import VacuumPlan, vacuum
from stages.manifest import (
    Commit,
    ManifestRef,
    RowWriter,
    commit_table,
    compact,
    last_commit,
    lineage_of,
    load_commit,
    plan_compactions,
    read_commit,
    reusable_items,
    row_writer,
)
from stages.manifest.compaction import MIN_FILES
from stages.params import ExecutorParams, ReadParams
from stages.run import open_session
from stages.run.phases import PHASE_CLASSES
from stages.run_records import RunRecord
from stages.sources import registered_partitions
from stages.storage import Storage
from stages.tasks import Row
from tests.phases import ToyPhase, register_names

NAMES = [*(f"{number:02}" for number in range(17)), "corrupt", "offline", "short"]


def clip(number: int, **values: object) -> Row:
    ids = {"partition": "p", "video_id": f"v{number}", "clip_id": f"{number:020x}"}
    return {**ids, "status": "kept", "decision_key": "d", **values}


def write_small(ref: ManifestRef, numbers: range, run_id: str = "r") -> Commit:
    """Commit a row file for each of these clips; one failed, one is transient."""
    storage = Storage(ref.root)
    writer = RowWriter(storage, ref, decision_key="d", lineage={"run_id": run_id, "inputs": {"clips": {"p": 1}}})
    for number in numbers:
        failure = {"status": "failed", "reason": "stalled", "error": "no beat"} if number == 3 else {}
        writer.append(f"k{number}", [clip(number, row_key=f"k{number}", **failure)], is_transient=number == 4)
        writer.flush()
    before = last_commit(storage, ref)
    return commit_table(storage, ref, [*(before.files if before else []), *writer.files], {"run_id": run_id})


def row_files(root: str) -> int:
    return sum(info.path.endswith(".parquet") for info in Storage(root).list("manifests"))


def age(storage: Storage, seconds: float) -> None:
    then = time.time() - seconds
    for info in storage.list("manifests"):
        os.utime(storage.location(info.path), (then, then))


@pytest.fixture
def ref(tmp_path: Path) -> ManifestRef:
    return ManifestRef(str(tmp_path), "embeddings", "p")


def test_rows_digest_keys_and_lineage_stay(ref: ManifestRef) -> None:
    storage = Storage(ref.root)
    commits = [write_small(ref, range(12)), write_small(ref, range(12, 21), "another run")]
    rows = [read_commit(storage, ref, commit).to_pylist() for commit in commits]
    made_by = lineage_of(ref.root, f"{15:020x}")[-1]["made_by"]
    stored = reusable_items(storage, ref)
    for compaction in plan_compactions(storage, ref, commits):
        compact(storage, compaction)
    after = [load_commit(storage, ref, commit.number) for commit in commits]
    assert [len(commit.files) for commit in commits] == [12, 21]
    assert [len(commit.files) for commit in after] == [1, 2]  # files of two runs are not mixed
    assert [replace(commit, files=[]) for commit in after] == [replace(commit, files=[]) for commit in commits]
    assert [read_commit(storage, ref, commit).to_pylist() for commit in after] == rows
    assert [read_commit(storage, ref, commit, ["clip_id"]).num_rows for commit in after] == [12, 21]
    assert lineage_of(ref.root, f"{15:020x}")[-1]["made_by"] == made_by
    again = reusable_items(storage, ref)
    assert again.by_row_key.keys() == stored.by_row_key.keys() == {f"k{n}" for n in range(21) if n != 4}
    assert again.by_row_key["k3"].failed == {"k3": ["stalled"]}
    assert plan_compactions(storage, ref, after) == []


def test_few_files_and_items_that_are_there_twice_stay(ref: ManifestRef) -> None:
    storage = Storage(ref.root)
    few = write_small(ref, range(MIN_FILES - 1))
    assert plan_compactions(storage, ref, [few]) == []
    twice = write_small(ref, range(MIN_FILES - 1))
    compactions = plan_compactions(storage, ref, [twice])
    assert all(len({key for entry in each.files for key in entry.items}) == len(each.files) for each in compactions)
    rows = sorted(read_commit(storage, ref, twice)["clip_id"].to_pylist())
    for compaction in compactions:
        compact(storage, compaction)
    newest = last_commit(storage, ref)
    assert newest is not None
    assert newest.digest == twice.digest
    assert sorted(read_commit(storage, ref, newest)["clip_id"].to_pylist()) == rows


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("num_writes", range(4))
def test_merging_that_was_killed_is_ended_by_the_next(
    num_writes: int, ref: ManifestRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merged file, then each of two commits; after the third write nothing is left to do."""
    storage = Storage(ref.root)
    commits = [write_small(ref, range(10)), write_small(ref, range(10, 12))]
    rows = [read_commit(storage, ref, commit).to_pylist() for commit in commits]
    written: list[str] = []
    write: Callable[..., None] = Storage.write_bytes

    def write_some(self: Storage, path: str, data: bytes) -> None:
        if len(written) == num_writes:
            raise Killed
        written.append(path)
        write(self, path, data)

    def merge() -> None:
        kept = [load_commit(storage, ref, commit.number) for commit in commits]
        for compaction in plan_compactions(storage, ref, kept):
            compact(storage, compaction)

    monkeypatch.setattr(Storage, "write_bytes", write_some)
    if num_writes < 3:
        with pytest.raises(Killed):
            merge()
    else:
        merge()
    monkeypatch.undo()
    check = [load_commit(storage, ref, commit.number) for commit in commits]
    assert [read_commit(storage, ref, commit).to_pylist() for commit in check] == rows
    merge()
    after = [load_commit(storage, ref, commit.number) for commit in commits]
    assert [read_commit(storage, ref, commit).to_pylist() for commit in after] == rows
    assert [len(commit.files) for commit in after] == [1, 1]


def run(root: Path) -> int:
    """Run the toy phase over all sources; returns the number of items that it computed."""
    outputs = [ManifestRef(str(root), "videos", name) for name in registered_partitions(Storage(root))]
    with open_session(ExecutorParams(mode="local", max_tries=1)) as session:
        reports = session.run_phase(ReadParams(max_failed_fraction=1), {}, outputs)
    return sum(report.computed for report in reports.values())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table that a run wrote with a row file for each item."""
    monkeypatch.setitem(PHASE_CLASSES, "read", ToyPhase)
    monkeypatch.setattr(ToyPhase, "log", str(tmp_path / "worked.txt"))
    monkeypatch.setattr(row_writer, "MAX_FLUSH_ITEMS", 1)
    register_names(tmp_path / "root", NAMES)
    assert run(tmp_path / "root") == len(NAMES)
    return tmp_path / "root"


def small_and_merged(plan: VacuumPlan) -> list[tuple[int, int]]:
    return [(len(each.files), 1) for each in plan.compactions]


def test_vacuum_merges_and_the_next_run_computes_nothing_again(root: Path) -> None:
    storage = Storage(root)
    age(storage, 48 * 3600)
    assert row_files(str(root)) == len(NAMES)
    record = RunRecord.begin(storage, "at work")
    record.work_on(registered_partitions(storage))
    assert small_and_merged(vacuum(storage)) == []  # never under a run that may read them
    record.end()
    assert small_and_merged(vacuum(storage)) == [(len(NAMES), 1)]
    assert row_files(str(root)) == len(NAMES) + 1
    assert vacuum(storage).counts()["row files"] == (0, 0)  # a reader may have begun with the small ones
    age(storage, 48 * 3600)
    assert vacuum(storage).counts()["row files"][0] == len(NAMES)
    assert row_files(str(root)) == 1
    assert run(root) == 1  # what failed for a reason that may pass
