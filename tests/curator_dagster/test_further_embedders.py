"""Further embedders in Dagster: one asset and one step, each embedder's figures by its name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.together import together
from curator_dagster.cli import app
from curator_dagster.commands.retry_plan import plan_retry
from curator_dagster.resources import Storage
from stages.manifest import read_manifest
from tests.curator_dagster.conftest import Run, write_sources

MORE = {"max_failed_fraction": 1, "more": [{"name": "wide"}, {"name": "dark", "frames_per_clip": 3}]}
UP_TO_EMBEDDINGS = ["videos", "clips", "filtered_clips", "embeddings"]


def only(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    """Metadata of the one materialization of an asset."""
    (event,) = result.asset_materializations_for_node(asset)
    return event.metadata


def test_one_step_makes_all_tables_and_tells_each_ones_figures(run: Run, partitions: list[str]) -> None:
    result = run(partitions[1:2], UP_TO_EMBEDDINGS, embeddings=MORE)  # one source fails in split, one in embed
    metadata = only(result, "embeddings")
    table = metadata["further_embedders"]
    assert isinstance(table, dg.TableMetadataValue)
    records = {record.data["embedder"]: record.data for record in table.records}
    assert {name: (each["kept"], each["failed"], each["computed"]) for name, each in records.items()} == {
        name: (metadata["kept"].value, metadata["failed"].value, metadata["items_computed"].value)
        for name in ("wide", "dark")
    }
    assert metadata["failed"].value == 1
    assert isinstance(metadata["wide_failed_clips"], dg.TableMetadataValue)
    checks = {
        each.check_name: each for each in result.get_asset_check_evaluations() if each.asset_key.path == ["embeddings"]
    }
    lost = checks["no_row_lost"]
    assert (lost.passed, lost.metadata["rows"].value, lost.metadata["wide_rows"].value) == (True, 1, 1)
    assert "First embedder: " in (lost.description or "")
    assert "dark: " in (lost.description or "")
    version = result.asset_materializations_for_node("embeddings")[0].tags
    again = run(partitions[1:2], ["embeddings"], embeddings={**MORE, "more": MORE["more"][:1]})
    assert [record.data["reused"] for record in only(again, "embeddings")["further_embedders"].records] == [1]
    assert again.asset_materializations_for_node("embeddings")[0].tags != version


@pytest.mark.system
def test_dedup_reads_the_embedder_that_a_launch_names(run: Run, partitions: list[str], storage: Storage) -> None:
    run(partitions[:1], UP_TO_EMBEDDINGS, embeddings={"more": MORE["more"]}, clips={"max_failed_fraction": 1})
    run(partitions[:1], ["unique_clips"], unique_clips={"embedder": "dark"})
    assert len(read_manifest(storage.root, "unique_clips")) == 1
    with pytest.raises(dg.Failure, match=r"got 'darc'\. Did you mean dark\?"):
        run(partitions[:1], ["unique_clips"], unique_clips={"embedder": "darc"})
    run(partitions[2:], UP_TO_EMBEDDINGS, embeddings={"max_failed_fraction": 1})
    with pytest.raises(dg.Failure, match=r"must have embeddings\.dark to be read in its place, and 1 have none"):
        run(partitions[2:], ["unique_clips"], unique_clips={"embedder": "dark"})


def test_together_tells_failing_tables_first_and_numbers_by_name() -> None:
    good, bad = CheckResult(True, "fine", {"rows": 2}), CheckResult(False, "lost", {"rows": 1}, [{"a": 1}], 3.0)
    assert together({"": good}) is good
    found = together({"": good, "wide": bad})
    assert (found.passed, found.description, found.excess) == (False, "wide: lost", 3.0)
    assert (found.metadata, found.details) == ({"rows": 2, "wide_rows": 1}, [{"embedder": "wide", "a": 1}])
    assert together({"": good, "wide": good}).description == "First embedder: fine wide: fine"


@pytest.mark.system
@pytest.mark.usefixtures("_tiny_phases")
def test_command_line_shows_and_retries_each_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "CURATOR_ROOT", "CURATOR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    folder, root = write_sources(tmp_path / "sources", ("a", "d unreadable-embed")), tmp_path / "root"
    run = [
        "run",
        str(folder),
        "--root",
        str(root),
        "--set",
        "executor.mode=local",
        "--set",
        "embed.more=[{name: wide}]",
    ]
    assert CliRunner().invoke(app, [*run, "--set", "dedup.embedder=wid"]).exit_code == 2
    assert not root.exists() or not list(root.glob("manifests/*"))
    made = CliRunner().invoke(app, [*run, "--set", "dedup.embedder=wide"])
    assert made.exit_code == 0, made.stderr
    rows = {" ".join(line.split()[:2]): line.split() for line in made.stdout.splitlines() if len(line.split()) > 7}
    assert rows["embed wide"][2:8] == ["1", "0", "1", "0", "0", "2"]
    shown = CliRunner().invoke(app, ["show", str(root), "--format", "json"])
    counted = {(each["asset"], each["status"]): each["rows"] for each in json.loads(shown.stdout)}
    assert counted["embeddings.wide", "failed"] == counted["embeddings", "failed"] == 1
    of_table = CliRunner().invoke(app, ["show", str(root), "embeddings.wide", "--format", "json"])
    assert len(json.loads(of_table.stdout)) == 2
    dry = CliRunner().invoke(app, [*run, "--set", "dedup.embedder=wide", "--dry-run"])
    assert ["embed", "wide", "2", "0", "0"] in [line.split()[:5] for line in dry.stdout.splitlines()]
    retry = plan_retry(str(root), {}, assets=["embeddings.wide"])
    assert retry.items == {("embeddings.wide", "unreadable"): 1}
    (plan,) = retry.plans
    assert [(each.table, each.retry_reasons != []) for each in plan.params["embed"].further()] == [
        ("embeddings.wide", True)
    ]
