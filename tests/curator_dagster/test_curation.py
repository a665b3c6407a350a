from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.config import config_class
from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import sync_partitions
from curator_dagster.resources import Storage
from stages.manifest import read_manifest
from stages.params import PHASES, ReadParams, SplitParams, describe_bounds
from stages.run import Session
from stages.sources import list_sources, register_sources
from tests.curator_dagster.conftest import QUIET, write_sources


def fields_of(schema: Any) -> dict[str, Any]:
    return schema.as_field().config_type.fields


def test_two_curations_stand_side_by_side(session: Session, tmp_path: Path) -> None:
    first, second = (Storage(root=str(tmp_path / name)) for name in ("films", "cartoons"))
    defs = dg.Definitions.merge(
        curation_definitions(Curation(), session, first),
        curation_definitions(Curation(namespace="cartoons"), session, second),
    )
    sources = list_sources(str(write_sources(tmp_path / "sources")), ReadParams())
    (key,) = register_sources(second.open(), sources, ReadParams())
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, second.open(), "cartoons_sources")
        job = defs.resolve_job_def("cartoons_curate")
        assert job.execute_in_process(instance=instance, run_config=QUIET, partition_key=key).success
        assert instance.get_materialized_partitions(dg.AssetKey(["cartoons", "dataset"])) == {key}
        assert instance.get_materialized_partitions(dg.AssetKey("dataset")) == set()
    assert len(read_manifest(second.root, "videos")) == 5


def test_a_run_begins_at_the_parameters_of_its_curation(
    session: Session, storage: Storage, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    params = {**Curation().params, "split": SplitParams(threshold=0.3)}
    job = curation_definitions(Curation(params=params), session, storage).resolve_job_def("curate")
    config = {**QUIET, "ops": {"clips": {"config": {"max_clips": 3}}}}
    job.execute_in_process(instance=instance, run_config=config, partition_key=partitions[0])
    fields = fields_of(job.get_node_named("clips").definition.config_schema)  # type: ignore[attr-defined]
    assert fields["threshold"].default_value == 0.3
    (report,) = session.reports[1].values()
    assert report.phase == "split"


@pytest.mark.parametrize("phase", PHASES)
def test_launchpad_says_meaning_bounds_and_default_of_every_parameter(phase: str) -> None:
    params = PHASES[phase]()
    rules = PHASES[phase].model_json_schema()["properties"]
    fields = fields_of(config_class(params).to_config_schema())  # type: ignore[attr-defined]
    assert set(fields) == set(type(params).model_fields)
    for name, declared in type(params).model_fields.items():
        assert fields[name].description.startswith(f"{phase}.{name}: {declared.description}")
        assert describe_bounds(rules[name]) in fields[name].description
        value = getattr(params, name)
        assert fields[name].default_value == value
