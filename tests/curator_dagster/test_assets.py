from typing import Any

import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion

from curator_dagster.assets import curation_assets
from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions, defs
from curator_dagster.resources import Storage
from stages.manifest import read_manifest
from stages.params import PHASES, CheckParams
from stages.run import Session
from stages.schemas import ASSETS as TABLES
from tests.curator_dagster.conftest import QUIET

ASSETS = curation_assets(Curation())


def range_of(keys: list[str]) -> dict[str, str]:
    return {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}


def materialized(result: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, dict[str, Any]]:
    """Metadata values by partition, one event each."""
    events = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == dg.AssetKey(asset)
    ]
    assert len({event.partition for event in events}) == len(events)
    return {event.partition: {name: value.value for name, value in event.metadata.items()} for event in events}


def metadata_of(record: dg.EventLogRecord) -> dict[str, Any]:
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_asset_graph_is_as_agreed(snapshot: SnapshotAssertion) -> None:
    graph = defs.resolve_asset_graph()
    assert snapshot == {
        spec.key.to_user_string(): {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "partitions": str(spec.partitions_def),
            "backfill": str(graph.get(spec.key).backfill_policy),
            "checks": sorted(key.name for key in graph.get(spec.key).check_keys),
            "kinds": sorted(spec.kinds),
            "group": spec.group_name,
            "owners": list(spec.owners),
            "code_version": spec.code_version,
        }
        for asset in ASSETS
        for spec in asset.specs
    }


def test_assets_stand_in_the_order_of_the_phases() -> None:
    assert [asset.key.path[-1] for asset in ASSETS] == [params.asset for params in PHASES.values()] == list(TABLES)


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.key.to_user_string())
def test_everything_that_a_user_sees_is_described(asset: dg.AssetsDefinition) -> None:
    (spec,) = asset.specs
    assert spec.description
    assert all(check.description for check in asset.check_specs)
    columns = spec.metadata["columns"].columns
    assert [column.name for column in columns] == TABLES[spec.key.path[-1]].schema.names
    assert all(column.description for column in columns)


def test_run_on_a_partition_that_a_person_typed_takes_it_off_the_list(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str]
) -> None:
    instance.add_dynamic_partitions("sources", ["0123456789ab"])
    result = job.execute_in_process(
        instance=instance, run_config=QUIET, partition_key="0123456789ab", raise_on_error=False
    )
    failure = result.failure_data_for_node("videos")
    assert failure is not None
    assert "Removed from the list of partitions: '0123456789ab'" in str(failure.user_failure_data)
    assert instance.get_dynamic_partitions("sources") == partitions


def test_job_runs_one_partition(job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str]) -> None:
    result = job.execute_in_process(instance=instance, run_config=QUIET, partition_key=partitions[0])
    assert set(materialized(result, "videos")) == {partitions[0]}
    assert set(materialized(result, "unique_clips")) == {None}
    assert set(materialized(result, "dataset")) == {partitions[0]}


@pytest.mark.system
def test_job_runs_a_range_with_one_event_a_partition(
    session: Session, storage: Storage, instance: dg.DagsterInstance, partitions: list[str]
) -> None:
    curation = Curation(checks=CheckParams(failed_max=0.0))
    job = curation_definitions(curation, session, storage).resolve_job_def("curate")
    result = job.execute_in_process(instance=instance, run_config=QUIET, tags=range_of(partitions))
    videos = materialized(result, "videos")
    assert set(videos) == set(partitions)
    assert [videos[key]["kept"] for key in partitions] == [1, 2, 1]
    assert [videos[key]["failed"] for key in partitions] == [1, 0, 0]
    assert materialized(result, "unique_clips")[None]["dagster/row_count"] == 2
    whole_run = [check for check in result.get_asset_check_evaluations() if check.partition is None]
    assert len(whole_run) == 24
    assert {check.check_name for check in whole_run if not check.passed} == {"failed_share"}


@pytest.mark.system
def test_dedup_reads_every_partition_that_is_embedded(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str], storage: Storage
) -> None:
    for key in partitions[:1], partitions[2:]:
        job.execute_in_process(instance=instance, run_config=QUIET, partition_key=key[0])
    found = read_manifest(storage.root, "unique_clips")["partition"].to_pylist()
    assert sorted(found) == sorted([partitions[0], partitions[2]])


def test_dedup_rejects_a_root_without_embeddings(job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
    with pytest.raises(dg.Failure, match=r"embeddings and filtered_clips committed\. Materialize them first"):
        job.execute_in_process(instance=instance, run_config=QUIET, asset_selection=[dg.AssetKey("unique_clips")])


def test_run_rejects_a_later_bound_in_its_first_step(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str], session: Session
) -> None:
    config = {**QUIET, "ops": {"dataset": {"config": {"quality": 64}}}}
    with pytest.raises(dg.Failure, match=r"write\.quality: .* 63, got 64"):
        job.execute_in_process(instance=instance, run_config=config, partition_key=partitions[0])
    assert session.reports == []


def test_partitions_finished_before_a_failure_stay_finished(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str]
) -> None:
    config = {**QUIET, "ops": {"embeddings": {"config": {"max_failed_fraction": 0.1}}}}
    result = job.execute_in_process(
        instance=instance, run_config=config, tags=range_of(partitions), raise_on_error=False
    )
    assert not result.success
    # the second holds the clip that cannot be embedded; all are committed before the phase raises
    events = instance.fetch_materializations(dg.AssetKey("embeddings"), limit=10).records
    failed = {record.partition_key: metadata_of(record)["failed"] for record in events}
    assert failed == dict(zip(partitions, (0, 1, 0), strict=True))
    assert instance.get_materialized_partitions(dg.AssetKey("embeddings")) == set(partitions)
    assert materialized(result, "unique_clips") == {}


@pytest.mark.system
def test_equal_tables_have_equal_data_versions(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str]
) -> None:
    versions = set()
    for _ in range(2):
        job.execute_in_process(instance=instance, run_config=QUIET, partition_key=partitions[0])
        event = instance.get_latest_materialization_event(dg.AssetKey("clips"))
        assert event is not None
        assert event.asset_materialization is not None
        versions.add((event.asset_materialization.tags or {})["dagster/data_version"])
    assert len(versions) == 1
