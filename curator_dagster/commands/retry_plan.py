"""Plans the runs of `curator retry`: chosen failed rows again, with the parameters that their tables were made with."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from curator_dagster.asset_graph import UNPARTITIONED_ASSETS
from curator_dagster.commands.run_plan import RunPlan, assets_up_to
from curator_dagster.launch_policy import check_stored_caption_url
from stages.errors import FAILED_REASONS, ManifestError, ParamsError, did_you_mean
from stages.manifest import ALL, Commit, ManifestRef, committed_partitions, last_commit, tables_of
from stages.params import PHASES, CheckParams, ExecutorParams, validate
from stages.sources import registered_partitions
from stages.storage import Storage
from stages.table_names import asset_of

PARAMS_BY_ASSET = {params.asset: params for params in PHASES.values()}


@dataclass(frozen=True)
class RetryPlan:
    """Failed items to work on again, and the runs that do so.

    Attributes:
        items: number of failed items by asset and reason; an item with failed rows of two reasons counts in both.
        plans: one run plan, unless partitions were made with different parameters.
    """

    items: Counter[tuple[str, str]]
    plans: list[RunPlan]


def plan_retry(
    root: str,
    overrides: Mapping[str, Mapping[str, Any]],
    *,
    assets: Collection[str] = (),
    reasons: Collection[str] = (),
) -> RetryPlan:
    """Find failed items, of some assets and reasons or of all, and plan the runs that work on them again.

    The runs also make downstream tables, as far as they were made before.

    Args:
        root: of the tables.
        overrides: parameters that invalidate no rows, by group; others are those that the tables were made with.
        assets: whose failed rows to retry; all assets where empty.
        reasons: of the failures to retry; all reasons where empty.

    Raises:
        ParamsError: an asset or reason is unknown, or stored parameters that this version does not accept.
        ManifestError: nothing is committed under the root.
    """
    storage = Storage(root)
    _reject_unknown_names(assets, reasons, tables_of(storage))
    commits = {table: _latest_commits(storage, table) for table in tables_of(storage)}
    if not any(commits.values()):
        raise ManifestError(f"Nothing is committed under {storage.root}. Run `curator run` first.")
    failed = {
        (asset, partition): found
        for asset, of_table in commits.items()
        if not assets or asset in assets or asset_of(asset) in assets
        for partition, commit in of_table.items()
        if (found := _failed_items(commit, reasons))
    }
    items: Counter[tuple[str, str]] = Counter()
    for (asset, _), found in failed.items():
        items.update({(asset, reason): count for reason, count in found.items()})
    groups: dict[str, list[str]] = {}
    for partition in _affected_partitions(storage, commits, failed):
        groups.setdefault(_grouping_key(commits, partition), []).append(partition)
    retried = {
        PARAMS_BY_ASSET[asset_of(asset)].phase: [str(reason) for reason in reasons or FAILED_REASONS]
        for asset, _ in failed
    }
    plans = [
        _run_plan(storage, _stored_params(commits, group[0]), overrides, retried, group) for group in groups.values()
    ]
    return RetryPlan(items, plans)


def _failed_items(commit: Commit, reasons: Collection[str] = ()) -> Counter[str]:
    """Number of items with failed rows by reason; of all reasons where none are given."""
    found = Counter(
        reason for entry in commit.files for row_key in entry.failed for reason in entry.failure_reasons(row_key)
    )
    return Counter({reason: count for reason, count in found.items() if not reasons or reason in reasons})


def _reject_unknown_names(assets: Iterable[str], reasons: Iterable[str], tables: Iterable[str]) -> None:
    for name, given, known in (("--asset", assets, tables), ("--reason", reasons, FAILED_REASONS)):
        unknown = sorted(set(given) - {str(each) for each in known})
        if unknown:
            meant = did_you_mean(unknown[0], [str(each) for each in known])
            raise ParamsError(f"{name} must be one of {', '.join(map(str, known))}, got {', '.join(unknown)}.{meant}")


def _latest_commits(storage: Storage, asset: str) -> dict[str, Commit]:
    found = {
        name: last_commit(storage, ManifestRef(storage.root, asset, name))
        for name in committed_partitions(storage, asset)
    }
    return {partition: commit for partition, commit in found.items() if commit}


def _affected_partitions(
    storage: Storage, commits: dict[str, dict[str, Commit]], failed: Iterable[tuple[str, str]]
) -> list[str]:
    """Partitions with a failed row, in the order of registration; all, where an unpartitioned asset has one."""
    partitions = {partition for _, partition in failed}
    if ALL in partitions:
        partitions = {partition for by_partition in commits.values() for partition in by_partition}
    return [key for key in registered_partitions(storage) if key in partitions]


def _stored_params(commits: dict[str, dict[str, Commit]], partition: str) -> dict[str, dict[str, Any]]:
    """Parameters that the tables of a partition were made with, by phase."""
    found = {
        asset: commits[asset].get(ALL if asset in UNPARTITIONED_ASSETS else partition) for asset in PARAMS_BY_ASSET
    }
    stored = {PARAMS_BY_ASSET[asset].phase: dict(commit.lineage["params"]) for asset, commit in found.items() if commit}
    # What the first embedder was made with may be older than an entry of embed.more; each table knows its own.
    further = [by_partition.get(partition) for table, by_partition in commits.items() if asset_of(table) != table]
    entries = {commit.lineage["params"]["name"]: _entry(commit.lineage["params"]) for commit in further if commit}
    if entries and "embed" in stored:
        before = {entry.get("name"): entry for entry in stored["embed"].get("more", [])}
        stored["embed"]["more"] = [*{**before, **entries}.values()]
    return stored


def _entry(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a further table as an entry of ``embed.more``; how a retry fails is of the phase."""
    left_out = {"more", "retry_reasons", "max_failed_fraction"}
    return {name: value for name, value in params.items() if name not in left_out}


def _grouping_key(commits: dict[str, dict[str, Commit]], partition: str) -> str:
    """The parameters that partitions of one run must share: those whose change invalidates rows."""
    stored = _stored_params(commits, partition)
    invalidating = {
        phase: {name: value for name, value in params.items() if name == "more" or not _has_no_effect(phase, name)}
        for phase, params in stored.items()
    }
    return json.dumps(invalidating, sort_keys=True)


def _has_no_effect(phase: str, name: str) -> bool:
    return name in PHASES[phase].model_fields and PHASES[phase].effect_of(name) == "none"


def _run_plan(
    storage: Storage,
    stored: Mapping[str, Mapping[str, Any]],
    overrides: Mapping[str, Mapping[str, Any]],
    retried: Mapping[str, list[str]],
    partitions: list[str],
) -> RunPlan:
    """A run of the tables that the partitions have, with the reasons to retry by phase."""
    # A retry counts only the failed rows, so the allowed share of failures does not apply.
    lenient = {"max_failed_fraction": 1.0}
    params: dict[str, Any] = {
        "executor": validate(ExecutorParams, "executor", dict(overrides.get("executor", {}))),
        "checks": validate(CheckParams, "checks", dict(overrides.get("checks", {}))),
    }
    for phase, model in PHASES.items():
        values = {
            **stored.get(phase, {}),
            **lenient,
            **overrides.get(phase, {}),
            "retry_reasons": retried.get(phase, []),
        }
        if "rebuild" in values:
            values["rebuild"] = False
        params[phase] = validate(model, phase, values)
    # A person who names an address confirms it.
    if not {"base_url", *(["refine_base_url"] if params["caption"].refine_base_url else [])} <= set(
        overrides.get("caption", {})
    ):
        check_stored_caption_url(params["caption"])
    made = [model.asset for phase, model in PHASES.items() if phase in stored]
    complete = [set(assets_up_to(asset)) for asset in made if set(assets_up_to(asset)) <= set(made)]
    return RunPlan(storage.root, params, [asset for asset in made if asset in set().union(*complete)], None, partitions)
