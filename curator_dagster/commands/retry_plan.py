"""Trying chosen failed rows again, with the parameters that their tables were made with."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from curator_dagster.commands.launch import Plan, wanted_assets
from curator_dagster.curation import SPANNING_ASSETS
from stages.errors import FAILED_REASONS, ManifestError, ParamsError
from stages.manifest import ALL_PARTITIONS, Commit, ManifestRef, committed_partitions, last_commit
from stages.params import PHASES, CheckParams, ExecutorParams, validate
from stages.sources import registered_partitions
from stages.storage import Storage

PARAMS_OF = {params.asset: params for params in PHASES.values()}


@dataclass(frozen=True)
class RetryPlan:
    """What is to be tried again.

    Attributes:
        items: failed items that were chosen, by asset and reason; one with failed rows of two reasons counts in both.
        plans: runs that try them; one, unless partitions were made with different parameters.
    """

    items: Counter[tuple[str, str]]
    plans: list[Plan]


def plan_retry(
    root: str, asked: Mapping[str, Mapping[str, Any]], *, assets: Collection[str] = (), reasons: Collection[str] = ()
) -> RetryPlan:
    """Find failed rows, of some assets and reasons or of all, and the runs that work on their items again.

    What follows from a row that is mended is made too, as far as it was made before.

    Args:
        root: where the tables lie.
        asked: parameters that undo nothing, by group; the others are those that the tables were made with.
        assets: whose failed rows; of all without one.
        reasons: that the rows failed for; whatever reason without one.

    Raises:
        ParamsError: no such asset or reason, or stored parameters that this version does not accept.
        ManifestError: nothing is committed under the root.
    """
    _check_names(assets, reasons)
    storage = Storage(root)
    commits = {asset: _commits(storage, asset) for asset in PARAMS_OF}
    if not any(commits.values()):
        raise ManifestError(f"Nothing is committed under {storage.root}. Run `curator run` first.")
    failed = {
        (asset, partition): found
        for asset in assets or PARAMS_OF
        for partition, commit in commits[asset].items()
        if (found := _failed_items(commit, reasons))
    }
    items: Counter[tuple[str, str]] = Counter()
    for (asset, _), found in failed.items():
        items.update({(asset, reason): count for reason, count in found.items()})
    groups: dict[str, list[str]] = {}
    for partition in _touched(storage, commits, failed):
        groups.setdefault(_work_of(commits, partition), []).append(partition)
    retried = {PARAMS_OF[asset].phase: [str(reason) for reason in reasons or FAILED_REASONS] for asset, _ in failed}
    plans = [_plan(storage, _stored_params(commits, group[0]), asked, retried, group) for group in groups.values()]
    return RetryPlan(items, plans)


def _failed_items(commit: Commit, reasons: Collection[str] = ()) -> Counter[str]:
    """Items of a table with failed rows, by reason; of these reasons alone, where some are given."""
    found = Counter(
        reason for entry in commit.files for row_key in entry.failed for reason in entry.failure_reasons(row_key)
    )
    return Counter({reason: count for reason, count in found.items() if not reasons or reason in reasons})


def _check_names(assets: Iterable[str], reasons: Iterable[str]) -> None:
    for name, given, known in (("--asset", assets, PARAMS_OF), ("--reason", reasons, FAILED_REASONS)):
        unknown = sorted(set(given) - {str(each) for each in known})
        if unknown:
            raise ParamsError(f"{name} must be one of {', '.join(map(str, known))}, got {', '.join(unknown)}.")


def _commits(storage: Storage, asset: str) -> dict[str, Commit]:
    found = {
        name: last_commit(storage, ManifestRef(storage.root, asset, name))
        for name in committed_partitions(storage, asset)
    }
    return {partition: commit for partition, commit in found.items() if commit}


def _touched(storage: Storage, commits: dict[str, dict[str, Commit]], failed: Iterable[tuple[str, str]]) -> list[str]:
    """Partitions with a failed row, in the order of registration; all that have tables where it spans them."""
    partitions = {partition for _, partition in failed}
    if ALL_PARTITIONS in partitions:
        partitions = {partition for by_partition in commits.values() for partition in by_partition}
    return [key for key in registered_partitions(storage) if key in partitions]


def _stored_params(commits: dict[str, dict[str, Commit]], partition: str) -> dict[str, dict[str, Any]]:
    """Parameters that the tables of a partition were made with, by phase."""
    found = {
        asset: commits[asset].get(ALL_PARTITIONS if asset in SPANNING_ASSETS else partition) for asset in PARAMS_OF
    }
    return {PARAMS_OF[asset].phase: dict(commit.lineage["params"]) for asset, commit in found.items() if commit}


def _work_of(commits: dict[str, dict[str, Commit]], partition: str) -> str:
    """What partitions must have in common to be worked on by one run: parameters whose change undoes something."""
    stored = _stored_params(commits, partition)
    undoing = {
        phase: {name: value for name, value in params.items() if not _undoes_nothing(phase, name)}
        for phase, params in stored.items()
    }
    return json.dumps(undoing, sort_keys=True)


def _undoes_nothing(phase: str, name: str) -> bool:
    return name in PHASES[phase].model_fields and PHASES[phase].effect_of(name) == "none"


def _plan(
    storage: Storage,
    stored: Mapping[str, Mapping[str, Any]],
    asked: Mapping[str, Mapping[str, Any]],
    retried: Mapping[str, list[str]],
    partitions: list[str],
) -> Plan:
    """A run of what the partitions have, in which the phases that are named try again what failed so."""
    # Where the rows that go well are not counted, a smaller share of failed ones is more than was allowed.
    tolerant = {"max_failed_fraction": 1.0}
    params: dict[str, Any] = {
        "executor": validate(ExecutorParams, "executor", dict(asked.get("executor", {}))),
        "checks": validate(CheckParams, "checks", dict(asked.get("checks", {}))),
    }
    for phase, model in PHASES.items():
        values = {**stored.get(phase, {}), **tolerant, **asked.get(phase, {}), "retry_reasons": retried.get(phase, [])}
        if "rebuild" in values:
            values["rebuild"] = False
        params[phase] = validate(model, phase, values)
    made = [model.asset for phase, model in PHASES.items() if phase in stored]
    complete = [set(wanted_assets(asset)) for asset in made if set(wanted_assets(asset)) <= set(made)]
    return Plan(storage.root, params, [asset for asset in made if asset in set().union(*complete)], None, partitions)
