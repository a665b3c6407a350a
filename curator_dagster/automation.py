"""Automation conditions: a new partition is materialized up to the dataset, old partitions are left as they are.

`unique_clips` is unpartitioned, its upstream and downstream assets are partitioned. Dagster's `eager()` does not work
there: `unique_clips` would wait until every partition ever added is embedded, and an update of `unique_clips` would
count as an update of all partitions of `dataset`. Hence one condition for each kind of asset:

    videos                       requested once a partition is added
    clips to captions            requested once a dependency is updated; in the same run as videos
    unique_clips                 requested once embeddings are updated and none are in progress
    dataset, of a partition      requested once dedup has run on the partition's newest embeddings

Dagster does not notice that a later dedup changed the clips of a partition; the package `rewrite` finds those.
"""

import dagster as dg

from curator_dagster.asset_graph import UNPARTITIONED_ASSETS
from curator_dagster.curation import Curation

Condition = dg.AutomationCondition

EVALUATION_INTERVAL_S = 30


def automation_condition(curation: Curation, asset: str) -> Condition | None:
    """The condition on which the asset is requested; None where the curation is not automated."""
    if not curation.automated:
        return None
    if asset == "videos":
        return _on_new_partition()
    if asset == "dataset":
        return _on_dedup_of_partition(curation)
    return _on_new_embeddings(curation) if asset in UNPARTITIONED_ASSETS else _on_updated_deps()


def automation_sensor(curation: Curation) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of this curation's assets and launches the runs that they request.

    It is running by default, because `Curation.automated` was set.
    """
    return dg.AutomationConditionSensorDefinition(
        curation.scoped("automation"),
        target=dg.AssetSelection.assets(*(curation.asset_key(params.asset) for params in curation.params.values())),
        description="Makes what is new: of an added partition every asset up to the dataset.",
        minimum_interval_seconds=EVALUATION_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )


def _nothing_in_progress() -> Condition:
    return ~Condition.any_deps_in_progress() & ~Condition.in_progress()


def _on_new_partition() -> Condition:
    """A partition was added after the first evaluation; partitions added before need a backfill."""
    return (Condition.newly_missing().since_last_handled() & ~Condition.in_progress()).with_label("partition added")


def _on_updated_deps() -> Condition:
    """As `eager()`, but for every time window, not only the latest: a late video changes an old one."""
    new = (Condition.newly_missing() | Condition.any_deps_updated()).since_last_handled()
    return (new & ~Condition.any_deps_missing() & _nothing_in_progress()).with_label("what it reads is new")


def _on_new_embeddings(curation: Curation) -> Condition:
    """Embeddings were updated; they are made after `filtered_clips`, the other dependency of `unique_clips`."""
    embeddings = dg.AssetSelection.assets(curation.asset_key("embeddings"))
    return (Condition.any_deps_updated().allow(embeddings).since_last_handled() & _nothing_in_progress()).with_label(
        "embeddings are new"
    )


def _on_dedup_of_partition(curation: Curation) -> Condition:
    """The partition's rows are new, and dedup has run since the partition was embedded."""
    embedded = _asset_condition(curation, "embeddings", Condition.newly_updated())
    embedding = _asset_condition(curation, "embeddings", Condition.will_be_requested() | Condition.in_progress())
    decided = _asset_condition(curation, "unique_clips", Condition.newly_updated())
    others = dg.AssetSelection.assets(*(curation.asset_key(asset) for asset in ("filtered_clips", "captions")))
    new = embedded | Condition.any_deps_match(Condition.newly_updated()).allow(others)
    return (
        (Condition.newly_missing() | new).since_last_handled().with_label("the partition is new")
        & decided.since(embedded).with_label("dedup has seen it")
        & ~embedding
        & ~Condition.any_deps_missing()
        & _nothing_in_progress()
    ).with_label("decided")


def _asset_condition(curation: Curation, asset: str, condition: Condition) -> Condition:
    """A condition on another asset; on the same partition where both assets are partitioned."""
    return Condition.asset_matches(curation.asset_key(asset), condition)
