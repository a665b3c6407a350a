"""When assets make themselves: a new partition flows to the dataset, and old ones stay as they are.

`unique_clips` has no partitions and stands between assets that have. What Dagster offers ready-made does not get past
it: `eager()` waits at `unique_clips` until every partition that was ever added is embedded, and at `dataset` takes one
update of `unique_clips` for an update of all partitions. Hence a condition a kind of asset:

    videos                       made once a partition is added
    clips to captions            made once what they read is new; in the same run as videos
    unique_clips                 made once an embedding is new and none is being made
    dataset, of a partition      made once dedup has seen the partition's newest embeddings

A partition whose clips were decided otherwise afterwards is not new to Dagster; `rewriting` finds those.
"""

import dagster as dg

from curator_dagster.curation import SPANNING_ASSETS, Curation

Condition = dg.AutomationCondition

LOOK_EVERY_S = 30


def condition_of(curation: Curation, asset: str) -> Condition | None:
    """When this asset of a curation makes itself; None where the curation leaves that to others."""
    if not curation.automated:
        return None
    if asset == "videos":
        return _added()
    if asset == "dataset":
        return _decided(curation)
    return _embedded(curation) if asset in SPANNING_ASSETS else _follows()


def automation_sensor(curation: Curation) -> dg.AutomationConditionSensorDefinition:
    """Asks the conditions of this curation's assets, and launches what they ask for.

    It runs from the start: that an asset makes itself was asked for by `Curation.automated`.
    """
    return dg.AutomationConditionSensorDefinition(
        curation.scoped("automation"),
        target=dg.AssetSelection.assets(*(curation.asset_key(params.asset) for params in curation.params.values())),
        description="Makes what is new: of an added partition every asset up to the dataset.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )


def _idle() -> Condition:
    return ~Condition.any_deps_in_progress() & ~Condition.in_progress()


def _added() -> Condition:
    """A partition that was added since the condition is asked; those that were there wait for a backfill."""
    return (Condition.newly_missing().since_last_handled() & ~Condition.in_progress()).with_label("partition added")


def _follows() -> Condition:
    """`eager()` for every partition, not only the latest day's: a late video reopens an old one."""
    new = (Condition.newly_missing() | Condition.any_deps_updated()).since_last_handled()
    return (new & ~Condition.any_deps_missing() & _idle()).with_label("what it reads is new")


def _embedded(curation: Curation) -> Condition:
    """Embeddings follow the filter, so that they alone say when a partition is ready."""
    embeddings = dg.AssetSelection.assets(curation.asset_key("embeddings"))
    return (Condition.any_deps_updated().allow(embeddings).since_last_handled() & _idle()).with_label(
        "embeddings are new"
    )


def _decided(curation: Curation) -> Condition:
    """What the partition holds is new, and dedup has run since it was embedded."""
    embedded = _of(curation, "embeddings", Condition.newly_updated())
    embedding = _of(curation, "embeddings", Condition.will_be_requested() | Condition.in_progress())
    decided = _of(curation, "unique_clips", Condition.newly_updated())
    others = dg.AssetSelection.assets(*(curation.asset_key(asset) for asset in ("filtered_clips", "captions")))
    new = embedded | Condition.any_deps_match(Condition.newly_updated()).allow(others)
    return (
        (Condition.newly_missing() | new).since_last_handled().with_label("the partition is new")
        & decided.since(embedded).with_label("dedup has seen it")
        & ~embedding
        & ~Condition.any_deps_missing()
        & _idle()
    ).with_label("decided")


def _of(curation: Curation, asset: str, condition: Condition) -> Condition:
    """The condition of another asset; of the same partition where both have them."""
    return Condition.asset_matches(curation.asset_key(asset), condition)
