"""Which partitions the conditions request, evaluation after evaluation, without a phase being run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from curator_dagster.asset_graph import ASSET_GRAPH
from curator_dagster.asset_specs import asset_spec
from curator_dagster.curation import Curation, default_params
from curator_dagster.definitions import curation_definitions
from curator_dagster.resources import RayPool, Storage
from stages.errors import ParamsError
from stages.params import EmbedParams

BEFORE_DEDUP = ["videos", "clips", "filtered_clips", "embeddings", "captions"]


def empty_asset(spec: dg.AssetSpec) -> dg.AssetsDefinition:
    """An asset of this spec that is materialized and does nothing."""

    def body() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    return dg.multi_asset(name=spec.key.path[-1], specs=[spec])(body)


@dataclass
class AutomatedInstance:
    """An instance with one partition whose assets are materialized, and the cursor of the conditions."""

    instance: dg.DagsterInstance
    cursor: Any = None
    defs: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        curation = Curation(automated=True)
        self.defs = dg.Definitions([empty_asset(asset_spec(curation, asset)) for asset in ASSET_GRAPH])
        self.add_partitions("old")
        for asset in ASSET_GRAPH:
            self.report_materialized(asset, *([] if asset == "unique_clips" else ["old"]))
        assert self.evaluate() == {}  # the first evaluation

    def add_partitions(self, *keys: str) -> None:
        self.instance.add_dynamic_partitions("sources", list(keys))

    def report_materialized(self, asset: str, *keys: str) -> None:
        for key in keys or [None]:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))

    def evaluate(self) -> dict[str, set[str | None]]:
        """Evaluate the conditions once; return the requested partitions by asset."""
        found = dg.evaluate_automation_conditions(
            defs=self.defs,
            instance=self.instance,
            asset_selection=dg.AssetSelection.assets(*ASSET_GRAPH),
            cursor=self.cursor,
        )
        self.cursor = found.cursor
        requested = [each.true_subset for each in found.results if not each.true_subset.is_empty]
        return {
            subset.key.path[-1]: {part.partition_key for part in subset.expensively_compute_asset_partitions()}
            for subset in requested
        }


@pytest.fixture
def automated() -> Iterator[AutomatedInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield AutomatedInstance(instance)


@pytest.mark.system
def test_new_partitions_flow_to_the_dataset_and_take_no_old_one_along(automated: AutomatedInstance) -> None:
    automated.add_partitions("new-1", "new-2")
    new = {"new-1", "new-2"}
    assert automated.evaluate() == {asset: new for asset in BEFORE_DEDUP}
    for asset in BEFORE_DEDUP:
        automated.report_materialized(asset, *new)
    assert automated.evaluate() == {"unique_clips": {None}}
    automated.report_materialized("unique_clips")
    assert automated.evaluate() == {"dataset": new}
    automated.report_materialized("dataset", *new)
    assert automated.evaluate() == {}


def test_run_of_the_whole_job_leaves_nothing_to_be_asked_for(automated: AutomatedInstance) -> None:
    automated.add_partitions("new")
    for asset in ASSET_GRAPH:
        automated.report_materialized(asset, *([] if asset == "unique_clips" else ["new"]))
    assert automated.evaluate() == {}
    assert automated.evaluate() == {}


def test_dedup_alone_asks_for_no_partition(automated: AutomatedInstance) -> None:
    automated.report_materialized("unique_clips")
    assert automated.evaluate() == {}


@pytest.mark.system
def test_partition_made_again_waits_for_dedup_before_it_is_written(automated: AutomatedInstance) -> None:
    automated.report_materialized("unique_clips")
    automated.evaluate()
    automated.report_materialized("clips", "old")
    assert automated.evaluate() == {asset: {"old"} for asset in ("filtered_clips", "embeddings", "captions")}
    for asset in ("filtered_clips", "embeddings", "captions"):
        automated.report_materialized(asset, "old")
    assert automated.evaluate() == {"unique_clips": {None}}
    automated.report_materialized("unique_clips")
    assert automated.evaluate() == {"dataset": {"old"}}


@pytest.mark.system
def test_partition_that_is_captioned_late_is_written_then(automated: AutomatedInstance) -> None:
    automated.add_partitions("new")
    automated.evaluate()
    for asset in BEFORE_DEDUP[:-1]:
        automated.report_materialized(asset, "new")
    assert automated.evaluate() == {"unique_clips": {None}}
    automated.report_materialized("unique_clips")
    assert automated.evaluate() == {}
    automated.report_materialized("captions", "new")
    assert automated.evaluate() == {"dataset": {"new"}}


@pytest.mark.parametrize("automated_", [False, True])
def test_sensors_run_from_the_start_only_where_asked_for(automated_: bool) -> None:
    curation = Curation(automated=automated_, namespace="left")
    defs = curation_definitions(curation, RayPool(), Storage(root="memory://"))
    conditions = [spec.automation_condition is not None for spec in defs.resolve_all_asset_specs()]
    sensors = {sensor.name: sensor.default_status for sensor in defs.sensors or []}
    running = dg.DefaultSensorStatus.RUNNING if automated_ else dg.DefaultSensorStatus.STOPPED
    assert conditions == [automated_] * len(ASSET_GRAPH)
    assert sensors.pop("left_changed_decisions") == running
    assert sensors == ({"left_automation": running} if automated_ else {})


def test_freshness_stands_on_the_assets_that_ask_for_it() -> None:
    specs = {asset: asset_spec(Curation(fresh_within_hours={"dataset": 24}), asset) for asset in ASSET_GRAPH}
    assert [asset for asset, spec in specs.items() if spec.freshness_policy] == ["dataset"]


@pytest.mark.parametrize(
    ("pools", "gpu_memory_gb", "expected"),
    [({}, 0, None), ({}, 4, "gpu"), ({"embed": "a100"}, 4, "a100"), ({"embed": ""}, 4, None)],
)
def test_pool_is_gpu_where_a_phase_takes_gpu_memory(
    pools: dict[str, str], gpu_memory_gb: float, expected: str | None
) -> None:
    params = {**default_params(), "embed": EmbedParams(gpu_memory_gb=gpu_memory_gb)}
    assert Curation(pools=pools, params=params).concurrency_pool("embed") == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pools": {"embeddings": "gpu"}}, r"pools must be for some of read, .*, got embeddings"),
        ({"fresh_within_hours": {"write": 1}}, r"fresh_within_hours must be for some of videos, .*, got write"),
        ({"fresh_within_hours": {"dataset": 0.01}}, r"of dataset must be a minute \(0\.0167\) or more, got 0\.01"),
    ],
)
def test_curation_rejects_what_would_have_no_effect(given: dict, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        Curation(**given)
