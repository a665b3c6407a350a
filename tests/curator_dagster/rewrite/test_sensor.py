"""Which partitions the sensor has written again after dedup decides otherwise."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.resources import Storage
from stages.manifest import read_manifest
from stages.run import Session
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import NAMES_WITH_A_DEDUP_FAILURE, QUIET, Run, write_sources


@pytest.fixture
def source_folder(tmp_path: Path) -> Path:
    return write_sources(tmp_path / "sources", NAMES_WITH_A_DEDUP_FAILURE)


@pytest.fixture
def changed_partition(run: Run, partitions: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The one partition that gained a clip, after all were written with another quality than the default."""
    run(partitions, dataset={"quality": 25})
    monkeypatch.setattr(tiny_phases, "PHASES_WITHOUT_FAILURES", {"dedup"})
    run([], ["unique_clips"], unique_clips={"eps": 0.1})
    return partitions[1]


class SensorTicks:
    """Ticks of the sensor, one after the other."""

    def __init__(self, session: Session, storage: Storage, instance: dg.DagsterInstance) -> None:
        self._defs = curation_definitions(Curation(), session, storage)
        self._storage, self._instance = storage, instance
        self.cursor: str | None = None

    def __call__(self) -> Any:
        """The result of one tick."""
        sensor = self._defs.resolve_sensor_def("changed_decisions")
        with dg.build_sensor_context(
            self._instance, self.cursor, definitions=self._defs, resources={"storage": self._storage}
        ) as context:
            found = sensor.evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        return found

    def job(self) -> dg.JobDefinition:
        """The job that the sensor launches."""
        return self._defs.resolve_job_def("rewrite_dataset")

    def launch(self, request: Any) -> dg.ExecuteInProcessResult:
        """Execute a run request."""
        config = {**QUIET, **request.run_config}
        return self.job().execute_in_process(instance=self._instance, run_config=config, tags=request.tags)


@pytest.fixture
def tick(session: Session, storage: Storage, instance: dg.DagsterInstance) -> SensorTicks:
    return SensorTicks(session, storage, instance)


def test_tick_requests_the_partition_that_changed_with_the_parameters_it_was_made_with(
    changed_partition: str, tick: SensorTicks, storage: Storage
) -> None:
    assert not tick().run_requests  # the run that decided may go on to write
    (request,) = tick().run_requests
    assert request.tags["dagster/partition"] == changed_partition
    assert request.run_config["ops"]["dataset"]["config"]["quality"] == 25
    tick.cursor = None
    tick()
    assert [again.run_key for again in tick().run_requests] == [request.run_key]
    assert len(read_manifest(storage.root, "dataset", changed_partition)) == 1
    assert tick.launch(request).success
    assert len(read_manifest(storage.root, "dataset", changed_partition)) == 2
    assert not tick().run_requests


@pytest.mark.system
def test_tick_requests_again_where_a_decision_that_was_taken_before_is_taken_again(
    run: Run, partitions: list[str], tick: SensorTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(partitions)
    keys = set()
    for eps, harmless in ((0.1, {"dedup"}), (0.2, set()), (0.1, {"dedup"})):
        monkeypatch.setattr(tiny_phases, "PHASES_WITHOUT_FAILURES", harmless)
        run([], ["unique_clips"], unique_clips={"eps": eps})
        tick()
        (request,) = tick().run_requests
        tick.launch(request)
        keys.add(request.run_key)
    assert len(keys) == 3


def test_tick_waits_for_a_run_that_writes_and_leaves_alone_what_was_never_written(
    run: Run, tick: SensorTicks, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    run(partitions, ["videos", "clips", "filtered_clips", "embeddings", "unique_clips"])
    tick()
    writing = instance.create_run_for_job(tick.job(), status=dg.DagsterRunStatus.STARTED)
    assert "The next tick after its end compares" in tick().skip_message
    instance.delete_run(writing.run_id)
    assert "All 3 compared partitions hold the clips that dedup keeps" in tick().skip_message


def test_tick_before_any_dedup_requests_nothing(tick: SensorTicks) -> None:
    assert tick().skip_message == "Dedup has not run."
