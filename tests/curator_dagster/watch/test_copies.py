"""Exact copies as people and sensors see them: counted by reason, and looked at anew where the original is gone."""

from pathlib import Path

from curator_dagster.commands.show import count_reasons
from curator_dagster.metadata.table_values import reasons_table
from curator_dagster.report.committed_tables import read_committed
from curator_dagster.report.funnel import funnel
from curator_dagster.watch.complete_partitions import CompletePartitions
from stages.manifest import ALL, ManifestRef, last_commit
from stages.params import ExecutorParams, ReadParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.sources import Register, list_sources, register_sources
from stages.storage import Storage
from tests.made_tables import commit_items
from tests.videos import noise_shot, write_video

ONE_EACH = ReadParams(partition_size=1)


def read_copies(folder: Path, root: Storage) -> dict[str, PhaseReport]:
    """Two equal videos, in two partitions, are read; reports in the order of registration, not of commits."""
    folder.mkdir()
    (folder / "b.mp4").write_bytes(write_video(folder / "a.mp4", noise_shot(1, 5)).read_bytes())
    partitions = register_sources(root, list_sources(str(folder), ONE_EACH), ONE_EACH)
    with open_session(ExecutorParams(mode="local")) as session:
        reports = session.run_phase(ONE_EACH, {}, [ManifestRef(root.root, "videos", each) for each in partitions])
    return {each: reports[each] for each in partitions}


def make_the_rest(root: Storage, partition: str) -> None:
    """Tables after `videos`, each made from the newest one before it."""
    made_from, number = "videos", last_commit(root, ManifestRef(root.root, "videos", partition))
    assert number is not None
    unique = {"inputs": {"embeddings": {each: 1 for each in Register(root).member_files}}}
    rows = [("item", [{"video_id": "v", "clip_id": "c", "status": "kept"}])]
    commit = commit_items(ManifestRef(root.root, "unique_clips", ALL), rows, made_with=unique)
    inputs = {"unique_clips": {ALL: commit.number}}
    commit = number
    for asset in ("clips", "filtered_clips", "dataset"):
        lineage = {"inputs": {**inputs, made_from: {partition: commit.number}}}
        commit = commit_items(ManifestRef(root.root, asset, partition), rows, made_with=lineage)
        made_from = asset


def test_copies_are_counted_as_every_reason_is(tmp_path: Path) -> None:
    root = Storage(tmp_path / "root")
    *_, report = read_copies(tmp_path / "sources", root).values()
    counted = [(row["asset"], row["status"], row["reason"], row["rows"]) for row in count_reasons(root.root)]
    assert ("videos", "rejected", "exact_copy", 1) in counted
    assert funnel(read_committed(root))[0]["why"] == [["rejected", "exact_copy", 1]]
    (shown,) = reasons_table(report, {}).records
    assert (shown.data["reason"], shown.data["rows"]) == ("exact_copy", 1)


def test_the_partition_of_a_copy_is_complete_as_long_as_its_original_is_current(tmp_path: Path) -> None:
    root, folder = Storage(tmp_path / "root"), tmp_path / "sources"
    first, second = read_copies(folder, root)
    make_the_rest(root, second)
    register = Register(root)
    assert CompletePartitions(register).among([second]) == {second}
    write_video(folder / "a.mp4", noise_shot(2, 9))
    register_sources(root, list_sources(str(folder), ONE_EACH), ONE_EACH)
    register.refresh()
    entry = register.entries_after(2)[0]
    assert set(entry.affected_partitions) == {first, second}
    assert CompletePartitions(register).among([second]) == set()
