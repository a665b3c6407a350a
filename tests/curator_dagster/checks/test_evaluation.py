from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.resources import Storage as StorageResource
from stages.params import CheckParams
from stages.run import Session
from stages.schemas import ASSETS
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import QUIET
from tests.curator_dagster.test_assets import range_of


def run(
    session: Session, storage: StorageResource, asset: str, *, params: CheckParams | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    curation = Curation(checks=params or CheckParams())
    job = curation_definitions(curation, session, storage).resolve_job_def("curate")
    keys = [dg.AssetKey(name) for name in list(ASSETS)[: list(ASSETS).index(asset) + 1]]
    return job.execute_in_process(run_config=QUIET, asset_selection=keys, raise_on_error=False, **options)


def results(result: dg.ExecuteInProcessResult, asset: str, check: str) -> dict[str | None, dg.AssetCheckEvaluation]:
    found = [each for each in result.get_asset_check_evaluations() if each.asset_check_key == key_of(asset, check)]
    by_partition = {each.partition: each for each in found}
    assert len(by_partition) == len(found)
    return by_partition


def key_of(asset: str, check: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(asset), check)


def test_range_run_has_a_result_a_partition_and_one_that_the_worst_decides(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    params = CheckParams(failed_max=0.0)
    result = run(session, storage, "videos", params=params, instance=instance, tags=range_of(partitions))
    assert result.success
    found = results(result, "videos", "failed_share")
    assert {key: each.passed for key, each in found.items()} == {
        **dict.fromkeys(partitions, True),
        partitions[0]: False,
        None: False,
    }
    whole = found[None]
    assert (whole.description or "").startswith(f"1 of 3 partitions failed; the worst is {partitions[0]}: 1 of 2 rows")
    assert whole.severity == dg.AssetCheckSeverity.WARN
    table = whole.metadata["by_partition"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["result"] for record in table.records] == ["failed", "passed", "passed"]
    assert [record.data["share"] for record in table.records] == [0.5, 0.0, 0.0]
    assert [record.data["failed_allowed"] for record in table.records] == [0, 0, 0]
    assert whole.metadata["worst_partition"].value == partitions[0]
    passed = results(result, "videos", "no_row_lost")[None]
    assert (passed.passed, "worst_partition" in passed.metadata) == (True, False)


@pytest.mark.parametrize("count", [1, 3])
def test_every_partition_of_a_run_has_a_result_that_dagster_takes_for_current(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance, count: int
) -> None:
    tags = range_of(partitions[:count])  # a range of one key, as a backfill gives it, too
    run(session, storage, "videos", instance=instance, tags=tags)
    info = instance.event_log_storage.get_asset_check_partition_info([key_of("videos", "table_schema")])
    assert {each.partition_key for each in info if each.is_current} >= set(partitions[:count])
    assert {each.latest_execution_status.value for each in info} == {"SUCCEEDED"}


def test_run_of_one_partition_has_one_result_with_its_figures(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    params = CheckParams(failed_max=0.0)
    result = run(session, storage, "videos", params=params, instance=instance, partition_key=partitions[0])
    (only,) = results(result, "videos", "failed_share").values()
    assert (only.partition, only.passed, only.metadata["share"].value) == (partitions[0], False, 0.5)


def test_blocking_check_stops_what_follows_and_leaves_every_partition_materialized(
    session: Session,
    storage: StorageResource,
    partitions: list[str],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(tiny_phases.FACTS, "width", 0)
    result = run(session, storage, "clips", instance=instance, tags=range_of(partitions))
    assert not result.success
    assert instance.get_materialized_partitions(dg.AssetKey("videos")) == set(partitions)
    assert instance.get_materialized_partitions(dg.AssetKey("clips")) == set()
    failure = result.failure_data_for_node("videos")
    assert failure is not None
    assert "Check table_schema of videos failed" in str(failure.user_failure_data)
    warned = run(
        session,
        storage,
        "clips",
        params=CheckParams(table_schema="warn"),
        instance=instance,
        tags=range_of(partitions),
    )
    assert warned.success


def test_check_that_cannot_be_evaluated_says_so_and_stops_nothing(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    Path(storage.root).mkdir(exist_ok=True)
    (Path(storage.root) / "checks").write_bytes(b"no folder, so that no sketch can be written")
    params = CheckParams(score_drift="error")
    result = run(session, storage, "filtered_clips", params=params, instance=instance, partition_key=partitions[0])
    assert result.success
    (only,) = results(result, "filtered_clips", "score_drift").values()
    assert (only.passed, only.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (only.description or "").startswith("Could not be evaluated: ")
