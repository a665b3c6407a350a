"""Which partitions a retry works on, with which parameters, and up to which asset."""

from pathlib import Path
from typing import Any

import pytest

from curator_dagster.commands.direct_run import execute_without_dagster
from curator_dagster.commands.retry_plan import plan_retry
from curator_dagster.commands.run_plan import RunPlan, assets_up_to
from curator_dagster.resources import Storage
from stages.params import ExecutorParams, ReadParams, validate_all
from stages.run import open_session
from stages.sources import list_sources, register_sources

pytestmark = pytest.mark.usefixtures("_tiny_phases")

LOCAL = ExecutorParams(mode="local", max_tries=1)
NAMES = ("a", "b unreadable-split", "c unreadable-split", "d unreadable-dedup", "e never run", "f unreadable-caption")


def curate(storage: Storage, partitions: list[str], until: str, **params: dict[str, Any]) -> None:
    lenient = {phase: {"max_failed_fraction": 1, **params.get(phase, {})} for phase in ("split", "caption", "dedup")}
    with open_session(LOCAL) as session:
        plan = RunPlan(storage.root, validate_all(lenient), assets_up_to(until), None, partitions)
        execute_without_dagster(plan, session)


@pytest.fixture
def partition_of(storage: Storage, tmp_path: Path) -> dict[str, str]:
    """One partition a video, by the first letter of its name, which says in which phase it fails."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    keys = register_sources(storage.open(), list_sources(str(folder), ReadParams()), ReadParams(partition_size=1))
    return dict(zip("abcdef", keys, strict=True))


def test_retry_takes_what_failed_with_the_params_of_its_tables(storage: Storage, partition_of: dict[str, str]) -> None:
    curate(storage, [partition_of["a"]], "dataset")
    curate(storage, [partition_of["b"]], "clips", split={"threshold": 0.3})
    (plan,) = plan_retry(storage.root, {"executor": {"stall_timeout_s": 600}}).plans
    assert (plan.partitions, plan.assets) == ([partition_of["b"]], ["videos", "clips"])
    assert plan.params["split"].threshold == 0.3
    assert "unreadable" in plan.params["split"].retry_reasons
    assert plan.params["read"].retry_reasons == []
    assert plan.params["executor"].stall_timeout_s == 600


def test_retry_of_an_unpartitioned_asset_takes_all_that_have_tables(
    storage: Storage, partition_of: dict[str, str]
) -> None:
    made = [partition_of["a"], partition_of["d"]]
    curate(storage, made, "dataset")
    found = plan_retry(storage.root, {}, assets=["unique_clips"], reasons=["unreadable"])
    assert found.items == {("unique_clips", "unreadable"): 1}
    assert [(plan.partitions, plan.assets) for plan in found.plans] == [(made, assets_up_to("dataset"))]


def test_retry_keeps_apart_what_was_made_with_other_params(storage: Storage, partition_of: dict[str, str]) -> None:
    curate(storage, [partition_of["b"]], "clips")
    curate(storage, [partition_of["c"]], "clips", split={"threshold": 0.3})
    plans = plan_retry(storage.root, {}).plans
    assert {plan.partitions[0]: plan.params["split"].threshold for plan in plans} == {
        partition_of["b"]: 0.4,
        partition_of["c"]: 0.3,
    }


@pytest.mark.system
def test_retry_makes_what_was_made_on_either_branch_and_rebuilds_nothing(
    storage: Storage, partition_of: dict[str, str]
) -> None:
    curate(storage, [partition_of["a"]], "captions")
    curate(storage, [partition_of["a"]], "unique_clips", dedup={"rebuild": True})
    curate(storage, [partition_of["f"]], "captions")
    (plan,) = plan_retry(storage.root, {"caption": {"base_url": "http://b"}}, assets=["captions"]).plans
    assert plan.partitions == [partition_of["f"]]
    assert plan.assets == ["videos", "clips", "filtered_clips", "captions"]
    assert plan.params["caption"].base_url == "http://b"
    assert plan.params["caption"].max_failed_fraction == 1
    curate(storage, [partition_of["f"]], "unique_clips", dedup={"rebuild": True})
    (plan,) = plan_retry(storage.root, {}, assets=["captions"]).plans
    assert plan.assets == [asset for asset in assets_up_to("dataset") if asset != "dataset"]
    assert plan.params["dedup"].rebuild is False
