"""Which version of its inputs a phase reads."""

from pathlib import Path

import pytest

from stages.dedup import DedupPhase
from stages.manifest import ALL, ManifestRef
from stages.params import DedupParams, SplitParams, WriteParams
from stages.run import inputs as run_inputs
from stages.run.dry_run import DryRun
from stages.run.inputs import InputTables
from stages.split import SplitPhase
from stages.write import WritePhase
from tests.made_tables import commit_items

VIDEOS, CLIPS = "videos", "clips"


def commit(root: Path, name: str) -> int:
    """A version of the videos of partition p with one row."""
    row = {"partition": "p", "video_id": name, "uri": name, "status": "kept"}
    return commit_items(ManifestRef(str(root), VIDEOS, "p"), [(name, [row])]).number


@pytest.mark.parametrize(
    ("made", "read"), [({}, "other's"), ({(VIDEOS, "p"): 1}, "ours"), ({(CLIPS, "p"): 1}, "other's")]
)
def test_run_goes_on_from_the_version_that_it_made(tmp_path: Path, made: dict[tuple[str, str], int], read: str) -> None:
    assert [commit(tmp_path, "ours"), commit(tmp_path, "other's")] == [1, 2]
    phase = SplitPhase(SplitParams(), str(tmp_path))
    tables = InputTables(phase, {VIDEOS: [ManifestRef(str(tmp_path), VIDEOS, "p")]}, made)
    kept = tables.tables_for(ManifestRef(str(tmp_path), CLIPS, "p"))[VIDEOS]
    assert kept["video_id"].to_pylist() == [read]
    assert tables.versions == {VIDEOS: {"p": 1 if read == "ours" else 2}}


def test_a_table_is_made_from_the_versions_of_its_own_inputs(tmp_path: Path) -> None:
    """Of a run over thousands of partitions, each commit and row file would name those of all others too."""
    names, root = library(tmp_path, 3), str(tmp_path)
    inputs = {asset: [ManifestRef(root, asset, name) for name in names] for asset in ("captions", "filtered_clips")}
    everything = ManifestRef(root, "unique_clips", ALL)
    tables = InputTables(WritePhase(WriteParams(), root), {**inputs, "unique_clips": [everything]})
    for name in names:
        tables.tables_for(ManifestRef(root, "dataset", name))
    expected = {"unique_clips": {ALL: 1}, "captions": {names[1]: 1}, "filtered_clips": {names[1]: 1}}
    assert tables.versions_of(ManifestRef(root, "dataset", names[1])) == expected
    of_all = InputTables(
        DedupPhase(DedupParams(), root), {**inputs, "embeddings": [ManifestRef(root, "embeddings", "p0")]}
    )
    of_all.tables_for(everything)
    assert of_all.versions_of(everything)["filtered_clips"] == dict.fromkeys(names, 1)


def library(root: Path, num_partitions: int) -> list[str]:
    """Partitions of two clips, of which dedup kept one; of the last it kept none."""
    names = [f"p{number}" for number in range(num_partitions)]
    for name in names:
        rows = [{"partition": name, "clip_id": f"{name}-{each}", "status": "kept"} for each in range(2)]
        for asset in ("filtered_clips", "captions", "embeddings"):
            commit_items(ManifestRef(str(root), asset, name), [(row["clip_id"], [row]) for row in rows])
    rows = [{"partition": name, "clip_id": f"{name}-1", "status": "kept"} for name in names[:-1]]
    rows.append({"partition": names[-1], "clip_id": f"{names[-1]}-1", "status": "rejected"})
    commit_items(ManifestRef(str(root), "unique_clips", ALL), [("all", rows)])
    return names


@pytest.mark.parametrize("max_read_alone", [0, 16])
def test_each_partition_gets_its_rows_of_a_table_that_spans_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_read_alone: int
) -> None:
    monkeypatch.setattr(run_inputs, "MAX_READ_ALONE", max_read_alone)
    names = library(tmp_path, 3)
    root = str(tmp_path)
    refs = {asset: [ManifestRef(root, asset, name) for name in names] for asset in ("captions", "filtered_clips")}
    tables = InputTables(
        WritePhase(WriteParams(), root), {**refs, "unique_clips": [ManifestRef(root, "unique_clips", ALL)]}
    )
    for name in names:
        kept = tables.tables_for(ManifestRef(root, "dataset", name))["unique_clips"]
        assert kept["clip_id"].to_pylist() == ([] if name == names[-1] else [f"{name}-1"])
        assert kept["partition"].to_pylist() == ([] if name == names[-1] else [name])


@pytest.mark.parametrize("min_collected", [1, 1000])
def test_rows_of_all_partitions_are_the_same_collected_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, min_collected: int
) -> None:
    """A dry run takes what is collected, and writes nothing."""
    monkeypatch.setattr(run_inputs, "MIN_COLLECTED", min_collected)
    names, root = library(tmp_path, 3), str(tmp_path)
    phase = DedupPhase(DedupParams(), root)
    refs = {asset: [ManifestRef(root, asset, name) for name in names] for asset in phase.inputs}
    output = ManifestRef(root, "unique_clips", ALL)
    plan = DryRun(root, root, ()).plan(phase.params, refs, [output])
    assert plan.computed == 1
    assert list(tmp_path.glob("index/**/*.parquet")) == []
    tables = InputTables(phase, refs).tables_for(output)
    for asset, table in tables.items():
        assert sorted(table["clip_id"].to_pylist()) == [f"{name}-{each}" for name in names for each in range(2)], asset
        assert set(table.column_names) - {"status"} == set(phase.columns_of(asset) or ())
    assert tables["embeddings"]["commit"].to_pylist() == [1] * 6
    assert len(list(tmp_path.glob("index/rows/*/*.parquet"))) == (2 if min_collected == 1 else 0)
