"""Dedup as a phase: decisions that are made again when inputs, parameters or embeddings change, and those that stay."""

import tempfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup import DedupPhase, check_rank_by
from stages.dedup import phase as dedup_phase
from stages.dedup.dedup_tasks import DedupedTask, DedupTask
from stages.dedup.phase import steps_of
from stages.dedup.planning import plan_clips
from stages.dedup.rank_columns import ranking_values
from stages.dedup.stage import DedupStage
from stages.errors import ParamsError, PhaseError
from stages.manifest import ALL, ManifestRef, last_commit
from stages.params import DedupParams
from stages.run.inputs import InputTables
from stages.run.table_run import TableRun
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import Storage, digest
from tests.stages.dedup.tables import Library, angles, write_table

NEAR = 0.005
"""Clips less than 5.7 degrees apart are near-duplicates."""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two partitions; a, b, d are near each other, c and e are, f is alone."""
    made = Library(tmp_path)
    made.add("p1", angles(a=0, b=4, c=90))
    made.add("p2", angles(d=2, e=94, f=200))
    return made


def test_dedup_gives_every_clip_one_row(library: Library) -> None:
    report = library.dedup(eps=NEAR)
    rows = library.rows()
    assert sorted(rows) == list("abcdef")
    assert (report.rows, report.counts) == (6, {"kept": 3, "rejected": 3, "failed": 0})
    assert {rows[name]["group_id"] for name in "abd"} == {"a"}
    assert (rows["d"]["nearest_clip_id"], rows["d"]["reason"], rows["d"]["group_size"]) == ("a", "duplicate", 3)
    assert rows["b"]["error"] == "Similarity to kept clip a must be below 0.995, got 0.997564."
    assert (rows["f"]["status"], rows["f"]["rank"], rows["f"]["partition"]) == ("kept", 0, "p2")


def test_dedup_computes_nothing_the_second_time(library: Library) -> None:
    first = library.dedup(eps=NEAR)
    for _ in range(2):
        again = library.dedup(eps=NEAR)
        assert (again.computed, again.reused, again.commit) == (0, 1, first.commit)
    library.add("p3", angles(g=300))
    library.dedup(eps=NEAR)
    assert library.dedup(eps=NEAR).computed == 0


def test_dedup_does_not_depend_on_the_order_of_rows(library: Library, tmp_path: Path) -> None:
    other = Library(tmp_path / "other")
    other.add("p1", angles(c=90, b=4, a=0))
    other.add("p2", angles(f=200, d=2, e=94))
    library.dedup(eps=NEAR)
    other.dedup(["p2", "p1"], eps=NEAR)
    assert other.table().equals(library.table())


def test_dedup_lets_older_kept_clips_win(library: Library) -> None:
    library.dedup(["p2"], eps=NEAR)
    assert library.kept() == {"d", "e", "f"}
    library.dedup(eps=NEAR)  # p1 was registered earlier, and is decided later
    assert library.kept() == {"d", "e", "f"}
    library.dedup(eps=NEAR, rebuild=True)
    assert library.kept() == {"a", "c", "f"}


def test_dedup_takes_a_clip_of_two_partitions_from_the_one_registered_first(library: Library) -> None:
    library.add("p3", angles(g=300))
    library.add("p4", angles(g=300, h=250))
    library.dedup(eps=NEAR)
    rows = library.rows()
    assert (len(library.table()), rows["g"]["partition"], rows["h"]["partition"]) == (8, "p3", "p4")
    assert library.dedup(["p4", "p3", "p2", "p1"], eps=NEAR).computed == 0


def test_dedup_decides_again_what_hung_on_a_clip_that_is_gone(library: Library) -> None:
    library.dedup(eps=NEAR)
    library.add("p1", angles(b=4, c=90))
    library.dedup(eps=NEAR)
    assert library.kept() == {"b", "c", "f"}
    assert set(library.rows()) == set("bcdef")


def test_dedup_decides_again_where_an_embedding_changed(library: Library) -> None:
    library.dedup(eps=NEAR)
    library.add("p1", angles(a=150, b=4, c=90))
    library.dedup(eps=NEAR)
    assert library.kept() == {"a", "b", "c", "f"}


def test_dedup_decides_all_anew_with_another_eps(library: Library) -> None:
    library.dedup(["p2"], eps=NEAR)
    report = library.dedup(eps=0.001)
    assert report.counters["dedup_decisions_standing"] == 0
    assert library.kept() == {"a", "b", "c", "e", "f"}
    library.dedup(eps=NEAR)
    assert library.kept() == {"a", "c", "f"}


def test_dedup_leaves_out_clips_that_the_filters_reject_now(library: Library) -> None:
    library.add("p1", angles(a=0, b=4, c=90), facts={"a": {"status": "rejected", "reason": "motion"}})
    library.dedup(eps=NEAR)
    assert sorted(library.rows()) == list("bcdef")


def test_dedup_of_no_clips_is_an_empty_table(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("p1", angles(a=0), facts={"a": {"status": "rejected"}})
    assert library.dedup().rows == 0
    library.add("p2", angles(b=0))
    assert library.dedup().counts["kept"] == 1


@pytest.mark.parametrize(
    ("rank_by", "kept"),
    [(["width"], "b"), (["-width"], "a"), (["sharpness"], "a"), (["-flow_mean", "width"], "b")],
)
def test_dedup_ranks_by_columns_and_scores(tmp_path: Path, rank_by: list[str], kept: str) -> None:
    library = Library(tmp_path)
    facts = {
        "a": {"width": 64, "scores": [("sharpness", 9.0)], "flow_mean": None},
        "b": {"width": 128, "scores": [("sharpness", 1.0)], "flow_mean": 0.1},
    }
    library.add("p1", angles(a=0, b=1), facts=facts)
    library.dedup(keep="rank", rank_by=rank_by)
    assert library.kept() == {kept}


def test_dedup_decides_anew_where_a_ranking_changed(tmp_path: Path) -> None:
    library = Library(tmp_path)
    for widths, computed in (((1, 2), 1), ((1, 2), 0), ((2, 1), 1)):
        facts = {"a": {"width": widths[0], "height": 7}, "b": {"width": widths[1], "height": 8}}
        library.add("p1", angles(a=0, b=1), facts=facts)
        assert library.dedup(keep="rank", rank_by=["width"]).computed == computed
    assert library.kept() == {"b"}


def test_dedup_rejects_unknown_ranking(library: Library) -> None:
    with pytest.raises(ParamsError, match=r"rank_by must name scores .* or columns of numbers .* got 'beauty'"):
        library.dedup(keep="rank", rank_by=["beauty"])


def test_dedup_rejects_embeddings_of_two_models(library: Library) -> None:
    row = {"clip_id": "a", "partition": "p1", "status": "kept", "model": "another", "weights_hash": "0" * 16}
    write_table(library.root, "embeddings", "p1", [row])
    with pytest.raises(PhaseError, match=r"from one model, got \['another \(0+\)', 'toy"):
        library.dedup()


@pytest.mark.parametrize(
    ("vector", "message"), [([1.0, 0.0, 0.0], "one size"), ([float("nan"), 0.0], "finite numbers")]
)
def test_dedup_rejects_unusable_vectors_and_commits_nothing(
    library: Library, vector: list[float], message: str
) -> None:
    library.dedup(eps=NEAR)
    library.add("p3", {"g": vector})
    with pytest.raises(PhaseError, match=message):
        library.dedup(eps=NEAR)
    commit = last_commit(Storage(library.root), ManifestRef(str(library.root), "unique_clips", ALL))
    assert commit is not None
    assert commit.number == 1


def test_dedup_clusters_with_earlier_decisions_first(library: Library) -> None:
    library.dedup(["p2"], eps=NEAR, mode="cluster", num_clusters=2)
    library.dedup(eps=NEAR, mode="cluster", num_clusters=1)  # another parameter: nothing stands
    assert library.dedup(eps=NEAR, mode="cluster", num_clusters=1).computed == 0
    kept = library.kept()
    library.add("p3", angles(g=1, h=92))
    library.dedup(eps=NEAR, mode="cluster", num_clusters=1)
    assert library.kept() == kept
    assert library.rows()["g"]["group_id"] in kept


ANGLES = st.lists(st.integers(0, 90).map(lambda half: 2 * half), min_size=1, max_size=8)


@pytest.mark.system
@given(st.lists(ANGLES, min_size=2, max_size=4))
@settings(max_examples=12)
def test_dedup_never_unkeeps_as_partitions_come(batches: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder))
        kept: set[str] = set()
        for number, batch in enumerate(batches):
            library.add(
                f"p{number}", angles(**{f"c{number}-{position}": value for position, value in enumerate(batch)})
            )
            library.dedup(eps=NEAR)
            assert kept <= library.kept()
            kept = library.kept()
        assert len(library.rows()) == sum(map(len, batches))


def test_ranking_is_checked_before_there_are_clips() -> None:
    """A user's own filter may give any score whose name begins with its own."""
    check_rank_by(["-width", "motion", "light_jump"], {"motion"}, ("light",))
    with pytest.raises(ParamsError, match=r"got 'motoin'\. Did you mean motion\?"):
        check_rank_by(["motoin"], {"motion"}, ("light",))
    with pytest.raises(ParamsError, match="got 'foo'"):
        check_rank_by(["foo"], {"motion"})


def test_vectors_are_of_the_version_that_was_planned_on(library: Library) -> None:
    """Another run commits other embeddings after this run committed its own, and before it plans dedup."""
    first = angles(a=0, b=4, c=90)
    library.add("p1", angles(a=150, b=154, c=20))
    root = str(library.root)
    phase = DedupPhase(DedupParams(eps=NEAR), root)
    inputs = {
        asset: [ManifestRef(root, asset, name) for name in library.partitions]
        for asset in ("embeddings", "filtered_clips")
    }
    tables = InputTables(phase, inputs, {("embeddings", "p1"): 1})
    run = TableRun(phase, ManifestRef(root, "unique_clips", ALL), tables, "r", ())
    (task,) = run.tasks()
    assert isinstance(task, DedupTask)
    assert tables.versions["embeddings"]["p1"] == 1
    stage = DedupStage(steps_of(phase.params, root), root)
    stage.setup(WorkerMetadata("w", NodeInfo("n", 1, 0)))
    found = stage.process(task)
    stage.teardown()
    assert isinstance(found, DedupedTask)
    keys = dict(zip(found.table["clip_id"].to_pylist(), found.table["embedding_key"].to_pylist(), strict=True))
    assert {name: keys[name] for name in first} == {name: digest(name, repr(first[name])) for name in first}
    groups = dict(zip(found.table["clip_id"].to_pylist(), found.table["group_id"].to_pylist(), strict=True))
    assert groups["d"] == groups["a"] == groups["b"], "d lies near a and b as they were in the first version"


@pytest.mark.parametrize("rank_by", [[], ["width", "-sharpness"]])
def test_digest_of_a_plan_is_that_of_its_lines(rank_by: list[str]) -> None:
    """As it was written down when it was made one text at a time: other digests would void what roots hold."""
    clips = [
        (f"p{number % 3}", f"c{number * 7919 % 500:03d}-ä", f"k{number}", number % 5 or None) for number in range(500)
    ]
    inputs = {
        "embeddings": pa.table(
            {
                "partition": [each[0] for each in clips],
                "clip_id": [each[1] for each in clips],
                "row_key": [each[2] for each in clips],
                "model": ["m"] * 500,
                "weights_hash": ["w"] * 500,
            }
        ),
        "filtered_clips": pa.table(
            {
                "partition": [each[0] for each in clips],
                "clip_id": [each[1] for each in clips],
                "width": pa.array([each[3] for each in clips], pa.int64()),
                "scores": pa.array([[("sharpness", 0.5)]] * 500, pa.map_(pa.string(), pa.float64())),
            }
        ),
    }
    planned = plan_clips(inputs, {"p2": 0, "p0": 1}, partial(ranking_values, rank_by=rank_by))
    values = {each[1]: [None if each[3] is None else -1.0 * each[3], 0.5] if rank_by else None for each in clips}
    lines = sorted(f"{clip_id} {key} {values[clip_id]}" for _, clip_id, key, _ in clips)
    assert planned.digest == digest("p2", "p0", "p1", *lines)
    order = [(["p2", "p0", "p1"].index(partition), clip_id) for partition, clip_id, _, _ in clips]
    assert planned.rows["clip_id"].to_pylist() == [clip_id for _, clip_id in sorted(order)]
    assert planned.filtered["clip_id"].equals(planned.rows["clip_id"])


def test_large_searches_are_divided_and_decide_the_same(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every search is a large one: an increment goes through four rounds of parts."""
    undivided = Library(tmp_path / "other")
    undivided.add("p1", angles(a=0, b=4, c=90))
    undivided.add("p2", angles(d=2, e=94, f=200))
    for each in (undivided, library):
        each.dedup(eps=NEAR)
        each.add("p3", angles(g=201, h=300, i=303, j=45, k=2.5))
        report = each.dedup(eps=NEAR)
        assert (report.stages["dedup_search"].tasks > 4) == (each is library)
        monkeypatch.setattr(dedup_phase, "DedupStage", partial(DedupStage, part_products=8))
    assert list(library.root.glob("index/*/layout-*")) == []
    assert library.table().drop_columns(["row_key"]).equals(undivided.table().drop_columns(["row_key"]))
    assert library.dedup(eps=NEAR).computed == 0


def test_clips_are_compared_by_the_embedder_that_is_named(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("p", {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [0.0, 1.0]})
    other = {"a": [1.0, 0.0, 0.0], "b": [0.0, 1.0, 0.0], "c": [0.0, 1.0, 0.0]}
    source = {"partition": "p", "video_id": "v-p", "uri": "/p.mp4", "status": "kept", "model": "other"}
    write_table(
        tmp_path,
        "embeddings.other",
        "p",
        [
            {**source, "weights_hash": "1", "clip_id": name, "embedding": vector, "row_key": digest("other", name)}
            for name, vector in other.items()
        ],
    )
    quotas = [{"by": "cluster", "clusters": 2, "max": 1}]
    library.dedup(copies=False)
    assert library.rows()["a"]["group_id"] == library.rows()["b"]["group_id"]
    report = library.dedup(copies=False, embedder="other", quotas=quotas)
    rows = library.rows()
    assert rows["b"]["group_id"] == rows["c"]["group_id"] != rows["a"]["group_id"]
    assert {row["model"] for row in rows.values()} == {"other"}
    assert {row["embedding_key"] for row in rows.values()} == {digest("other", name) for name in other}
    kept = {name for name, row in rows.items() if row["status"] == "kept"}
    classes = [dict(rows[name]["quota_classes"])["cluster"] for name in kept]
    assert len(kept) == len(set(classes)) == 2
    assert report.changes == ["dedup.quotas: added cluster", "dedup.embedder changed from '' to 'other'"]
    commit = last_commit(Storage(tmp_path), ManifestRef(str(tmp_path), "unique_clips", "all"))
    assert commit is not None
    assert commit.lineage["inputs"]["embeddings.other"] == {"p": 1}
    library.dedup(copies=False)
    assert library.rows()["a"]["group_id"] == library.rows()["b"]["group_id"]
