"""Further embedders: a table each, made beside that of the first, which is what it would be without them.

1. The rows and keys of the first embedder do not depend on the others.
2. One that is added is computed, and nothing else; one that is removed leaves its rows.
3. A name that is wrong or unknown is refused before any work, with the nearest.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.errors import ManifestError, ParamsError, PhaseError
from stages.manifest import ManifestRef, committed_partitions, last_commit, lineage_of, read_manifest, tables_of
from stages.models import ModelIdentity
from stages.params import EmbedParams, ExecutorParams, validate_all
from stages.phase import PhaseReport
from stages.run import DryRun, LaunchPolicy, check_embedder, check_phases, model_needs, open_session
from stages.stage import WorkerMetadata
from stages.storage import Storage
from stages.tasks import Failed, Frames, Row
from tests.clips import PARTITION, clip_row, commit_rows
from tests.videos import three_shots

FIRST = {"embedder": f"{__name__}:Brightness", "frames_per_clip": 2}
WIDE = {"name": "wide", "embedder": f"{__name__}:Brightness", "args": {"size": 3}}
DARK = {"name": "dark", "embedder": f"{__name__}:Brightness", "args": {"size": 4}, "frames_per_clip": 3}


class Brightness:
    """A vector of `args.size` numbers (2): ones, and last the mean of all pictures."""

    def __init__(self, params: EmbedParams) -> None:
        self.size = int(params.args.get("size", 2))
        self.fails = bool(params.args.get("fails"))

    def identity(self) -> ModelIdentity:
        return ModelIdentity(f"brightness-{self.size}", "1")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Nothing to load."""

    def embed(self, clips: Sequence[Frames]) -> list[NDArray[np.float32] | Failed]:
        made = [np.array([1.0] * (self.size - 1) + [each.images.mean()]) for each in clips]
        return [(each * (not self.fails) / np.linalg.norm(each)).astype(np.float32) for each in made]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_shots(tmp_path_factory.mktemp("videos") / "three.mp4")


@pytest.fixture
def rows(video: Path) -> list[Row]:
    return [clip_row(video, 0, 75), clip_row(video, 75, 150)]


def params(*more: dict[str, Any], **values: Any) -> EmbedParams:
    return EmbedParams(**FIRST, more=list(more), **values)


def run(root: Path, rows: list[Row], made_with: EmbedParams) -> PhaseReport:
    filtered = commit_rows(root, "filtered_clips", rows)
    output = ManifestRef(str(root), "embeddings", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        reports = session.run_phase(made_with, {"filtered_clips": [filtered]}, [output])
        assert session.reports == [reports]
    return reports[PARTITION]


def counts(report: PhaseReport) -> dict[str, tuple[int, int]]:
    """Reused and computed items by name."""
    tables = {"": report, **report.further}
    return {name: (each.reused, each.computed) for name, each in tables.items()}


def test_each_embedder_has_a_table_and_the_first_is_as_without_the_others(tmp_path: Path, rows: list[Row]) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    run(alone, rows, params())
    report = run(together, rows, params(WIDE, DARK))
    assert counts(report) == {"": (0, 2), "wide": (0, 2), "dark": (0, 2)}
    assert [each.asset for each in report.further.values()] == ["embeddings.wide", "embeddings.dark"]
    first, other = (read_manifest(str(root), "embeddings") for root in (together, alone))
    assert first.equals(other)  # keys too
    for name, size, pictures in (("wide", 3, 8), ("dark", 4, 3)):
        stored = read_manifest(str(together), f"embeddings.{name}").to_pylist()
        assert [row["clip_id"] for row in stored] == first["clip_id"].to_pylist()
        assert {(row["model"], len(row["embedding"]), row["num_embedded_frames"]) for row in stored} == {
            (f"brightness-{size}", size, pictures)
        }
    commit = last_commit(Storage(together), ManifestRef(str(together), "embeddings.dark", PARTITION))
    assert commit is not None
    assert (commit.lineage["params"]["name"], commit.lineage["inputs"]) == ("dark", {"filtered_clips": {PARTITION: 1}})


def test_one_that_is_added_is_computed_alone_and_one_that_is_removed_stays(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, params(WIDE))
    added = run(tmp_path, rows, params(DARK, WIDE))
    assert counts(added) == {"": (2, 0), "dark": (0, 2), "wide": (2, 0)}
    removed = run(tmp_path, rows, params(DARK))
    assert counts(removed) == {"": (2, 0), "dark": (2, 0)}
    assert len(read_manifest(str(tmp_path), "embeddings.wide")) == 2
    assert counts(run(tmp_path, rows, params({**WIDE, "args": {"size": 5}}))) == {"": (2, 0), "wide": (0, 2)}


def test_root_knows_its_further_tables(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, params(WIDE))
    storage = Storage(tmp_path)
    names = tables_of(storage)
    assert names[names.index("embeddings") + 1] == "embeddings.wide"
    assert committed_partitions(storage, "embeddings.wide") == [PARTITION]
    steps = [step["asset"] for step in lineage_of(str(tmp_path), rows[0]["clip_id"])]
    assert steps == ["filtered_clips", "embeddings", "embeddings.wide"]


def test_further_tables_of_a_bucket_are_found() -> None:
    storage = Storage("memory://further-tables")
    for name in ("clips", "embeddings.b", "embeddings.a", "captions.x", "embeddings.B"):
        storage.write_bytes(f"manifests/{name}/p/_commits/1.json", b"{}")
    assert [name for name in tables_of(storage) if "." in name] == ["embeddings.a", "embeddings.b"]


def test_failures_of_a_further_embedder_are_those_of_its_table(tmp_path: Path, rows: list[Row]) -> None:
    failing = {**WIDE, "args": {"size": 3, "fails": True}}
    with pytest.raises(PhaseError, match=r"curator show ROOT embeddings\.wide --status failed") as caught:
        run(tmp_path, rows, params(failing))
    report = caught.value.reports[PARTITION]
    assert (report.counts["kept"], report.further["wide"].counts["failed"]) == (2, 2)
    lenient = run(tmp_path, rows, params({**failing, "max_failed_fraction": 1}))
    assert counts(lenient) == {"": (2, 0), "wide": (2, 0)}
    again = run(tmp_path, rows, params(failing, max_failed_fraction=1, retry_reasons=["stage_error"]))
    assert counts(again) == {"": (2, 0), "wide": (0, 2)}


def test_dry_run_tells_what_each_embedder_would_compute(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, params(WIDE))
    made_with = params(WIDE, DARK)
    inputs = {"filtered_clips": [ManifestRef(str(tmp_path), "filtered_clips", PARTITION)]}
    dry_run = DryRun(str(tmp_path), str(tmp_path), ())
    plans = [
        dry_run.plan(each, inputs, [ManifestRef(str(tmp_path), each.table, PARTITION)])
        for each in (made_with, *made_with.further())
    ]
    found = [(plan.phase, plan.reused, plan.computed) for plan in plans]
    assert found == [("embed", 2, 0), ("embed wide", 2, 0), ("embed dark", 0, 2)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([{"embedder": "openai"}], r"more\[0\]\.name: Field required"),
        ([{"name": "a.b"}], r"more\[a\.b\]\.name: a name must have small letters"),
        (
            [{"name": "x", "frames_per_clips": 3}],
            r"frames_per_clips is no parameter\. Did you mean .*frames_per_clip\?",
        ),
        ([{"name": "x", "frames_per_clip": 0}], r"more\[x\]\.frames_per_clip: .*greater than or equal to 1"),
        ([{"name": "x"}, {"name": "x"}], "must have each name once, got x more than once"),
        ([{"name": "x", "more": []}], "must not have more, which only embed itself has"),
        ([{"name": "x", "base_url": "ftp://a"}], r"more\[x\].*base_url must be an http or https URL"),
    ],
)
def test_wrong_entries_are_told(more: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        validate_all({"embed": {"more": more}})


def test_checks_before_work_see_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = EmbedParams(more=[{"name": "x", "embedder": "siglip"}])
    with pytest.raises(ParamsError, match=r"embed\.more, entry x: .*got 'siglip'"):
        check_phases([unknown], str(tmp_path))
    with pytest.raises(ParamsError, match="embed x: a launch may name a class of your own only"):
        LaunchPolicy().check([EmbedParams(more=[{"name": "x", "embedder": "acme:Embedder"}])])
    monkeypatch.setenv("CURATOR_EMBED_API_KEY", "secret")
    server = {"name": "x", "embedder": "openai", "model": "m", "base_url": "http://far.example/v1"}
    with pytest.raises(ParamsError, match=r"embed\.more\[x\]\.base_url: a launch may send the key"):
        LaunchPolicy().check([EmbedParams(more=[server])])
    needs = model_needs([EmbedParams(more=[server])])
    assert [(need.phase, need.model) for need in needs] == [("embed", "efficientnet-lite0"), ("embed x", "m")]


def test_dedup_names_an_embedder_of_the_run_or_of_the_root(tmp_path: Path, rows: list[Row]) -> None:
    built = validate_all({"embed": {"more": [WIDE]}, "dedup": {"embedder": "wide"}})
    check_embedder(built["embed"], built["dedup"], str(tmp_path))
    other = validate_all({"dedup": {"embedder": "wild"}})
    with pytest.raises(ParamsError, match=r"dedup\.embedder must be the name.*got 'wild'\. Did you mean wide\?"):
        check_embedder(built["embed"], other["dedup"], str(tmp_path))
    with pytest.raises(ParamsError, match=r"There are none; '' stands for the first"):
        check_embedder(EmbedParams(), built["dedup"], str(tmp_path))
    run(tmp_path, rows, params(WIDE))
    check_embedder(EmbedParams(), built["dedup"], str(tmp_path))


def test_read_manifest_suggests_tables_of_the_root(tmp_path: Path, rows: list[Row]) -> None:
    run(tmp_path, rows, params(WIDE))
    with pytest.raises(
        ManifestError, match=r"Nothing is committed for embeddings\.wid under .* Did you mean embeddings\.wide\?"
    ):
        read_manifest(str(tmp_path), "embeddings.wid")
    with pytest.raises(ManifestError, match=r"Asset must be one of .*'embeddings\.wide'.* got 'captions\.wide'"):
        read_manifest(str(tmp_path), "captions.wide")
