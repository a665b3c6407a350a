"""A vacuum removes what no kept version names, and nothing else."""

import os
import time
from pathlib import Path
from threading import Thread

import pytest

from stages.errors import ManifestError
from stages.maintenance import plan_vacuum, vacuum
from stages.manifest import ManifestRef, find_version, last_commit, read_manifest, tag_version, version_numbers
from stages.params import ExecutorParams, ReadParams
from stages.run import open_session
from stages.run_records import VACUUM_LEASE, RunRecord, read_runs
from stages.signals import signals_path
from stages.sources import Source, register_sources
from stages.storage import Storage, exclusive
from stages.tasks import Row
from stages.write.publishing import publish, read_dataset_file
from tests.faults.waiting import wait_until
from tests.made_tables import commit_items

PARTITION = "p"
IDS = {"partition": PARTITION, "video_id": "v0", "clip_id": f"{0:020x}"}


def row(number: int, variant: int) -> Row:
    name = f"{PARTITION}/{number:020x}-{variant:08x}"
    ids = {"partition": PARTITION, "video_id": f"v{number}", "clip_id": f"{number:020x}"}
    decode = {"signals_key": f"key{variant % 2}"}
    return {**ids, **decode, "path": f"{name}.mp4", "metadata_path": f"{name}.json", "status": "kept"}


def make_version(storage: Storage, rows: list[Row]) -> None:
    """Publish a version with these clips, with the tables of their videos."""
    for each in rows:
        for path in (each["path"], each["metadata_path"]):
            if not storage.exists(f"dataset/{path}") and not storage.exists(f"former/{path}"):
                storage.write_bytes(f"former/{path}", path.encode())
        storage.write_bytes(f"frames/{PARTITION}/{each['video_id']}.parquet", b"frames")
        storage.write_bytes(signals_path(PARTITION, each["video_id"], each["signals_key"]), b"signals")
    for asset in ("clips", "dataset"):
        commit_items(
            ManifestRef(storage.root, asset, PARTITION), [(f"{each['path']} {asset}", [each]) for each in rows]
        )
    publish(storage, [ManifestRef(storage.root, "dataset", PARTITION)])


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Five versions, the second tagged; each has the clips 0 and its own number, in its own variant."""
    storage = Storage(tmp_path)
    for version in range(1, 6):
        make_version(storage, [row(0, version), row(version, version)])
        if version == 2:
            tag_version(storage, "second")
    return storage


def age(storage: Storage, seconds: float) -> None:
    """Let all files be older by so much."""
    then = time.time() - seconds
    for info in storage.list():
        os.utime(storage.location(info.path), (then, then))


def paths(storage: Storage) -> set[str]:
    return {info.path for info in storage.list() if not info.path.startswith(("leases/", "runs/"))}


def test_plan_removes_nothing_and_names_what_a_vacuum_removes(storage: Storage) -> None:
    age(storage, 48 * 3600)
    before = paths(storage)
    plan = plan_vacuum(storage, versions_kept=2)
    assert paths(storage) == before
    assert plan.kept == [2, 4, 5]
    planned = {info.path for infos in plan.removals() for info in infos}
    assert {kind: count for kind, (count, _) in plan.counts().items()} == {
        "versions": 2,
        "commits": 2 * 2,
        "row files": 2 * 2,
        "clips": 2 * 2 * 2,
        "signals": 2,
        "frame stores": 2,
        "index of dedup": 0,
    }
    vacuum(storage, versions_kept=2)
    assert before - paths(storage) == planned
    assert not any(plan_vacuum(storage, versions_kept=2).removals().__next__())


def test_vacuum_leaves_kept_and_tagged_versions_whole(storage: Storage) -> None:
    age(storage, 48 * 3600)
    expected = {
        version: read_manifest(storage.root, "dataset", version=version).to_pylist() for version in ("second", 4, 5)
    }
    vacuum(storage, versions_kept=2)
    assert version_numbers(storage) == [2, 4, 5]
    for version, rows in expected.items():
        assert read_manifest(storage.root, "dataset", version=version).to_pylist() == rows
        for each in rows:
            assert read_dataset_file(storage, each["path"], PARTITION) == each["path"].encode()
            assert storage.exists(f"frames/{PARTITION}/{each['video_id']}.parquet")
    for each in read_manifest(storage.root, "clips", version=4).to_pylist():
        assert storage.exists(signals_path(PARTITION, each["video_id"], each["signals_key"]))
    with pytest.raises(ManifestError, match="Version must be one of those"):
        read_manifest(storage.root, "dataset", version=3)


def test_vacuum_leaves_young_files(storage: Storage) -> None:
    """A run may be writing them; versions and commits it does not write by the way."""
    plan = vacuum(storage, versions_kept=1)
    assert {kind: count for kind, (count, _) in plan.counts().items() if count} == {"versions": 3, "commits": 6}
    age(storage, 48 * 3600)
    counts = {kind: count for kind, (count, _) in vacuum(storage, versions_kept=1).counts().items() if count}
    assert counts == {"row files": 6, "signals": 3, "clips": 12, "frame stores": 3}


def test_vacuum_leaves_a_commit_that_is_not_published_yet(storage: Storage) -> None:
    ref = ManifestRef(storage.root, "dataset", PARTITION)
    storage.write_bytes("former/" + row(0, 9)["path"], b"new")
    commit_items(ref, [("new", [row(0, 9)])])
    age(storage, 48 * 3600)
    vacuum(storage, versions_kept=1)
    newest = last_commit(storage, ref)
    assert newest is not None
    assert newest.number == 6
    assert storage.exists("former/" + row(0, 9)["path"])


def test_vacuum_of_a_damaged_root_removes_nothing(storage: Storage) -> None:
    age(storage, 48 * 3600)
    storage.delete(f"manifests/dataset/{PARTITION}/_commits/4.json")
    before = paths(storage)
    with pytest.raises(ManifestError, match="Commit 4 of dataset, partition 'p', must be there"):
        vacuum(storage, versions_kept=2)
    assert paths(storage) == before


def test_vacuum_of_an_empty_root_finds_nothing(tmp_path: Path) -> None:
    assert not any(count for count, _ in vacuum(Storage(tmp_path)).counts().values())


def test_vacuum_keeps_the_versions_of_further_tables(storage: Storage) -> None:
    ref = ManifestRef(storage.root, "embeddings.siglip", PARTITION)
    for variant in (6, 7, 8):
        commit_items(ref, [(f"embedded {variant}", [{**IDS, "model": f"m{variant}", "status": "kept"}])])
        make_version(storage, [row(0, variant)])
    assert find_version(storage, 7).tables["embeddings.siglip"] == {PARTITION: 2}
    age(storage, 48 * 3600)
    vacuum(storage, versions_kept=2)
    assert [read_manifest(storage.root, ref.asset, version=version)["model"].to_pylist() for version in (7, 8)] == [
        ["m7"],
        ["m8"],
    ]
    names = [info.path for info in storage.list(ref.folder)]
    assert sorted(name for name in names if name.endswith(".json")) == [
        f"{ref.folder}/_commits/{n}.json" for n in (2, 3)
    ]
    assert len([name for name in names if name.endswith(".parquet")]) == 2


def test_vacuum_leaves_what_a_run_at_work_may_name(storage: Storage) -> None:
    age(storage, 48 * 3600)
    record = RunRecord.begin(storage, "id")
    record.work_on([PARTITION])
    plan = vacuum(storage, versions_kept=1)
    assert plan.at_work == [1]
    assert {kind: count for kind, (count, _) in plan.counts().items() if count} == {"versions": 3}
    record.end()
    counts = {kind: count for kind, (count, _) in vacuum(storage, versions_kept=1).counts().items() if count}
    assert counts == {"commits": 6, "row files": 6, "signals": 3, "clips": 12, "frame stores": 3}


def test_vacuum_takes_no_notice_of_a_run_on_other_partitions(storage: Storage) -> None:
    age(storage, 48 * 3600)
    expected = plan_vacuum(storage, versions_kept=1).counts()
    record = RunRecord.begin(storage, "id")
    record.work_on(["another"])
    assert vacuum(storage, versions_kept=1).counts() == expected
    record.end()


def test_run_begins_no_phase_while_files_are_removed(storage: Storage) -> None:
    """What it says that it works on stands in the root before it waits."""
    waits = Thread(target=begin_phase, args=(storage,))
    with exclusive(storage, VACUUM_LEASE):
        waits.start()
        wait_until(lambda: bool(read_runs(storage)), describe=lambda: "no run has begun")
        waits.join(0.5)
        assert waits.is_alive()
        assert plan_vacuum(storage).at_work == [1]
    waits.join(60)
    assert not waits.is_alive()


def begin_phase(storage: Storage) -> None:
    """A phase without sources."""
    partitions = register_sources(storage, [Source("/videos/none.mp4", "1", 1)], ReadParams())
    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(
            ReadParams(max_failed_fraction=1), {}, [ManifestRef(storage.root, "videos", each) for each in partitions]
        )
