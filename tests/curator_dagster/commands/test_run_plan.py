from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.commands.dagster_run import dagster_instance, execute_plan, job_runs
from curator_dagster.commands.direct_run import execute_without_dagster
from curator_dagster.commands.run_plan import RunPlan, assets_up_to, plan_run
from curator_dagster.commands.shown_runs import MAX_COMMAND_CHARS, command_tags
from curator_dagster.partition_keys import dynamic_partition_keys
from curator_dagster.resources import Storage
from stages.errors import ParamsError, PhaseError
from stages.manifest import committed_partitions, read_manifest
from stages.params import PHASES, validate_all
from stages.run import Session
from stages.sources import registered_partitions
from stages.storage import Storage as Files
from tests.curator_dagster import tiny_phases

ALL_ASSETS = [params.asset for params in PHASES.values()]


@pytest.fixture
def params(_tiny_phases: None) -> dict[str, Any]:
    return validate_all({"read": {"partition_size": 2}})


@pytest.mark.parametrize(
    ("until", "assets"),
    [
        ("videos", ["videos"]),
        ("captions", ["videos", "clips", "filtered_clips", "captions"]),
        ("unique_clips", ["videos", "clips", "filtered_clips", "embeddings", "unique_clips"]),
        ("dataset", ALL_ASSETS),
    ],
)
def test_assets_up_to_the_last_are_what_it_is_made_from(until: str, assets: list[str]) -> None:
    assert assets_up_to(until) == assets


def test_one_range_is_one_run() -> None:
    assert list(job_runs(ALL_ASSETS, [["a", "b"]])) == [(ALL_ASSETS, ["a", "b"])]


def test_ranges_meet_at_the_unpartitioned_asset() -> None:
    assert list(job_runs(ALL_ASSETS, [["a"], ["c", "d"]])) == [
        (ALL_ASSETS[:5], ["a"]),
        (ALL_ASSETS[:5], ["c", "d"]),
        (["unique_clips"], []),
        (["dataset"], ["a"]),
        (["dataset"], ["c", "d"]),
    ]


def test_plan_run_registers_what_is_new_and_keeps_what_is_known(
    source_folder: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    root = str(tmp_path / "root")
    first = plan_run(str(source_folder), root, params, until="clips")
    (source_folder / "f.mp4").write_bytes(b"f")
    second = plan_run(str(source_folder), root, params, until="clips")
    assert (first.num_sources, second.num_sources) == (5, 6)
    assert second.partitions[:-1] == first.partitions


def test_plan_run_covers_partitions_that_hold_an_earlier_version(
    source_folder: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    root = str(tmp_path / "root")
    first = plan_run(str(source_folder), root, params, until="clips")
    changed = source_folder / "a.mp4"
    changed.write_bytes(b"other content")
    second = plan_run(str(changed), root, params, until="clips")
    assert second.partitions[0] == first.partitions[0]
    assert len(second.partitions) == 2


def test_plan_run_covers_the_version_that_a_restored_source_replaces(
    source_folder: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    root, changed = str(tmp_path / "root"), source_folder / "a.mp4"
    first = changed.rename(tmp_path / "first.mp4")
    changed.write_bytes(b"other content")
    plan_run(str(changed), root, params, until="clips")
    second = changed.rename(tmp_path / "second.mp4")
    for version in (first, second):
        version.rename(changed)
        assert plan_run(str(changed), root, params, until="clips").partitions == registered_partitions(Files(root))
        changed.rename(version)


def test_plan_run_rejects_a_folder_without_videos(tmp_path: Path, params: dict[str, Any]) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(ParamsError, match=r"at least one video, got .* no file that read\.include admits: \*\.mp4"):
        plan_run(str(tmp_path), str(tmp_path / "root"), params, until="dataset")


def test_plan_run_rejects_a_root_that_cannot_be_written(source_folder: Path, params: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="--root must be a place that can be written to, got '/proc/nowhere'"):
        plan_run(str(source_folder), "/proc/nowhere", params, until="dataset")


@pytest.mark.system
def test_ranges_of_partitions_end_in_one_dataset(
    source_folder: Path, session: Session, storage: Storage, params: dict[str, Any]
) -> None:
    whole = plan_run(str(source_folder), storage.root, params, until="dataset")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("sources", [whole.partitions[0], "of-another-root"])
        execute_plan(whole, session, instance)
        assert len(dynamic_partition_keys(instance)) == 4
        assert instance.get_materialized_partitions(dg.AssetKey("dataset")) == set(whole.partitions)
    made = [reports[next(iter(reports))].asset for reports in session.reports]
    assert made.count("unique_clips") == 1
    assert made.count("clips") == made.count("dataset") == 2
    assert len(read_manifest(storage.root, "dataset")) == 2


def test_runs_belong_to_the_job_of_the_code_location_and_name_their_command(
    source_folder: Path, session: Session, storage: Storage, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/curator", "run", "s3://me:secret@bucket/my videos", "--root", "r"])
    with dg.DagsterInstance.ephemeral() as instance:
        execute_plan(plan_run(str(source_folder), storage.root, params, until="videos"), session, instance)
        (made,) = instance.get_runs()
    origin = made.remote_job_origin
    assert origin is not None
    assert (origin.location_name, origin.job_name, made.job_name) == ("curator_dagster", "curate", "curate")
    assert made.tags["curator/command"] == "curator run 's3://bucket/my videos' --root r"
    assert made.tags["dagster/max_retries"] == "0"


@pytest.mark.system
def test_second_run_computes_nothing(
    source_folder: Path, session: Session, storage: Storage, params: dict[str, Any]
) -> None:
    work = plan_run(str(source_folder), storage.root, params, until="dataset")
    with dg.DagsterInstance.ephemeral() as instance:
        execute_plan(work, session, instance)
        first = len(session.reports)
        execute_plan(work, session, instance)
    again = [report for reports in session.reports[first:] for report in reports.values()]
    assert [report.computed for report in again] == [0] * len(again)
    assert [report.reused for report in again] == [report.items for report in again]


def test_without_dagster_the_tables_are_those_that_assets_make(
    source_folder: Path, session: Session, storage: Storage, params: dict[str, Any], tmp_path: Path
) -> None:
    root = str(tmp_path / "root without an instance")
    execute_without_dagster(plan_run(str(source_folder), root, params, until="dataset"), session)
    made = [next(iter(reports.values())).asset for reports in session.reports]
    with dg.DagsterInstance.ephemeral() as instance:
        execute_plan(plan_run(str(source_folder), storage.root, params, until="dataset"), session, instance)
    assert made == ALL_ASSETS
    for asset in ALL_ASSETS:
        ours, theirs = read_manifest(root, asset), read_manifest(storage.root, asset)
        assert ours.num_rows
        assert ours.equals(theirs), asset


def test_without_dagster_a_blocking_check_stops_the_run(
    source_folder: Path, session: Session, storage: Storage, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny_phases.FACTS, "width", 0)
    message = r"Check table_schema of videos failed: .*width(?s:.*)A check that is set to warn"
    with pytest.raises(PhaseError, match=message):
        execute_without_dagster(plan_run(str(source_folder), storage.root, params, until="clips"), session)
    assert len(read_manifest(storage.root, "videos")) == 5
    assert committed_partitions(Files(storage.root), "clips") == []
    params["checks"] = params["checks"].model_copy(update={"table_schema": "warn"})
    execute_without_dagster(plan_run(str(source_folder), storage.root, params, until="clips"), session)
    assert len(committed_partitions(Files(storage.root), "clips")) == 3


def test_execute_plan_stops_where_too_much_failed(source_folder: Path, session: Session, storage: Storage) -> None:
    strict = validate_all({"embed": {"max_failed_fraction": 0.1}})
    work = plan_run(str(source_folder), storage.root, strict, until="dataset")
    message = r"embed: failed rows must be at most 10%.* got 1 of 3\. All rows are committed"
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(PhaseError, match=message):
        execute_plan(work, session, instance)
    assert len(read_manifest(storage.root, "embeddings")) == 3


def test_dagster_instance_is_that_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dagster_instance() as instance:
        assert instance.root_directory == str(tmp_path)


@pytest.mark.parametrize("home", ["relative", "/nonexistent/folder"])
def test_dagster_instance_rejects_an_unusable_home(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(ParamsError, match="DAGSTER_HOME must be the absolute path of a folder"):
        dagster_instance()


def test_plan_run_is_for_the_root_in_its_stored_form(
    source_folder: Path, params: dict[str, Any], tmp_path: Path
) -> None:
    work = plan_run(str(source_folder), f"{tmp_path}/x/../root/", params, until="videos")
    assert isinstance(work, RunPlan)
    assert work.root == f"{tmp_path}/root"


def test_plan_run_leaves_out_what_lies_in_a_root_inside_the_source(source_folder: Path, params: dict[str, Any]) -> None:
    root = source_folder / "curated"
    (root / "dataset").mkdir(parents=True)
    (root / "dataset" / "clip.mp4").write_bytes(b"written by an earlier run")
    assert plan_run(str(source_folder), str(root), params, until="clips").num_sources == 5
    limited = {**params, "read": params["read"].model_copy(update={"limit": 5})}
    assert plan_run(str(source_folder), str(root), limited, until="clips").num_sources == 5


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("s3://KEY:se/cret@bucket/v", "s3://bucket/v"),
        ("ftp://u:p@ss@host/v", "ftp://host/v"),
        ("https://h/v.mp4?X-Amz-Signature=abc", "'https://h/v.mp4?…'"),
        ("caption.base_url=https://h/v1?api-key=abc", "'caption.base_url=https://h/v1?…'"),
    ],
)
def test_command_in_a_tag_holds_no_secret(argument: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["curator", "run", argument])
    assert command_tags()["curator/command"] == f"curator run {shown}"


def test_command_in_a_tag_fits_into_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["curator", "run", "v", "--set", f"caption.prompt={'x' * 4000}"])
    assert len(command_tags()["curator/command"]) == MAX_COMMAND_CHARS
