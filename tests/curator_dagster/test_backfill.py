"""Runs over many partitions: what a changed parameter undoes, and what dedup decides otherwise later."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.account import account
from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partitions import partition_tags
from curator_dagster.resources import Storage
from stages.manifest import read_manifest
from stages.run import PhaseReport, Session
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import QUIET

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def source_folder(tmp_path: Path) -> Path:
    """Five sources, of which dedup loses one."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in ("a", "b", "c", "d unreadable-dedup", "e"):
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder


@pytest.fixture
def run(job: dg.JobDefinition, instance: dg.DagsterInstance) -> Run:
    """The job over these partitions, or some assets of it, with parameters by asset."""

    def run_job(
        keys: list[str], assets: list[str] | None = None, **params: Mapping[str, Any]
    ) -> dg.ExecuteInProcessResult:
        config = {**QUIET, "ops": {asset: {"config": dict(values)} for asset, values in params.items()}}
        selection = [dg.AssetKey(asset) for asset in assets] if assets else None
        return job.execute_in_process(
            instance=instance, run_config=config, tags=partition_tags(keys), asset_selection=selection
        )

    return run_job


@pytest.fixture
def regained(run: Run, partitions: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The one partition that gained a clip, after all were written with another quality than the default."""
    run(partitions, dataset={"quality": 25})
    monkeypatch.setattr(tiny_phases, "HARMLESS", {"dedup"})
    run([], ["unique_clips"], unique_clips={"eps": 0.1})
    return partitions[1]


class Look:
    """The sensor, look after look."""

    def __init__(self, session: Session, storage: Storage, instance: dg.DagsterInstance) -> None:
        self._defs = curation_definitions(Curation(), session, storage)
        self._storage, self._instance = storage, instance
        self.cursor: str | None = None

    def __call__(self) -> Any:
        """What one look asks for."""
        sensor = self._defs.resolve_sensor_def("changed_decisions")
        with dg.build_sensor_context(
            self._instance, self.cursor, definitions=self._defs, resources={"storage": self._storage}
        ) as context:
            found = sensor.evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        return found

    def job(self) -> dg.JobDefinition:
        """That the sensor launches."""
        return self._defs.resolve_job_def("rewrite_dataset")

    def launch(self, request: Any) -> dg.ExecuteInProcessResult:
        """Run what was asked for."""
        config = {**QUIET, **request.run_config}
        return self.job().execute_in_process(instance=self._instance, run_config=config, tags=request.tags)


@pytest.fixture
def look(session: Session, storage: Storage, instance: dg.DagsterInstance) -> Look:
    return Look(session, storage, instance)


def reports_of(session: Session) -> dict[str, list[PhaseReport]]:
    """Of the newest run of the job, by asset."""
    return {next(iter(each.values())).asset: list(each.values()) for each in session.reports[-7:]}


def test_backfill_with_a_changed_threshold_redecides_and_computes_nothing(
    run: Run, session: Session, partitions: list[str]
) -> None:
    run(partitions, ["videos", "clips", "filtered_clips"])
    run(partitions, ["filtered_clips"], filtered_clips={"motion_min": 0.001})
    assert account(session.reports[-1]) == (
        "filter: 3 partitions, 5 items: 0 reused, 5 redecided, 0 computed "
        "because filter.motion_min changed from 0.0005 to 0.001"
    )


def test_backfill_with_a_changed_prompt_computes_captions_and_says_why(
    run: Run, session: Session, partitions: list[str]
) -> None:
    run(partitions)
    result = run(partitions, captions={"prompt": "What moves?"})
    computed = {asset: sum(report.computed for report in each) for asset, each in reports_of(session).items()}
    assert [asset for asset, items in computed.items() if items] == ["captions"]
    events = result.asset_materializations_for_node("captions")
    why = str(events[0].metadata["items_made_again_because"].value)
    assert why.startswith("caption.prompt changed from 'Describe")
    assert why.endswith("to 'What moves?'")


def test_account_counts_the_partitions_that_a_change_undid(run: Run, session: Session, partitions: list[str]) -> None:
    run(partitions[:2], ["videos", "clips"])
    run(partitions, ["videos", "clips"], clips={"threshold": 0.3})
    assert account(session.reports[-1]).endswith("5 computed because split.threshold changed from 0.4 to 0.3 (in 2)")


def test_account_of_nothing_says_so() -> None:
    assert account({}) == "Nothing was to be made."


def test_look_asks_for_the_partition_that_changed_with_the_parameters_it_was_made_with(
    regained: str, look: Look, storage: Storage
) -> None:
    assert not look().run_requests  # whatever decided may go on to write
    (request,) = look().run_requests
    assert request.tags["dagster/partition"] == regained
    assert request.run_config["ops"]["dataset"]["config"]["quality"] == 25
    look.cursor = None
    look()
    assert [again.run_key for again in look().run_requests] == [request.run_key]
    assert len(read_manifest(storage.root, "dataset", regained)) == 1
    assert look.launch(request).success
    assert len(read_manifest(storage.root, "dataset", regained)) == 2
    assert not look().run_requests


def test_look_asks_again_where_a_decision_that_was_taken_before_is_taken_again(
    run: Run, partitions: list[str], look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(partitions)
    keys = set()
    for eps, harmless in ((0.1, {"dedup"}), (0.2, set()), (0.1, {"dedup"})):
        monkeypatch.setattr(tiny_phases, "HARMLESS", harmless)
        run([], ["unique_clips"], unique_clips={"eps": eps})
        look()
        (request,) = look().run_requests
        look.launch(request)
        keys.add(request.run_key)
    assert len(keys) == 3


def test_look_waits_for_a_run_that_writes_and_leaves_alone_what_was_never_written(
    run: Run, look: Look, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    run(partitions, ["videos", "clips", "filtered_clips", "embeddings", "unique_clips"])
    look()
    writing = instance.create_run_for_job(look.job(), status=dg.DagsterRunStatus.STARTED)
    assert "The look waits for its end" in look().skip_message
    instance.delete_run(writing.run_id)
    assert "3 partitions looked at stand as decided" in look().skip_message


def test_look_before_any_dedup_asks_for_nothing(look: Look) -> None:
    assert look().skip_message == "Dedup has not run."
