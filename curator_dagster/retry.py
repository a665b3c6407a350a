"""Trying chosen failed rows again, with the parameters that their tables were made with."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from curator_dagster.launch import Plan, wanted_assets
from curator_dagster.partitions import SPANNING_ASSETS
from stages.errors import FAILED_REASONS, ManifestError, ParamsError
from stages.manifest import ALL, Commit, ManifestRef, committed_partitions, last_commit
from stages.params import PHASES, validate
from stages.sources import registered_partitions
from stages.storage import Storage

ASSETS = {params.asset: params for params in PHASES.values()}


@dataclass(frozen=True)
class Retry:
    """What is to be tried again.

    Attributes:
        items: failed items that were chosen, by asset and reason; one with failed rows of two reasons counts in both.
        plans: runs that try them; one, unless partitions were made with different parameters.
    """

    items: Counter[tuple[str, str]]
    plans: list[Plan]


def plan_retry(root: str, executor: Any, *, assets: Collection[str] = (), reasons: Collection[str] = ()) -> Retry:
    """Find failed rows, of some assets and reasons or of all, and the runs that work on their items again.

    What follows from a row that is mended is made too, up to the last asset that was made before.

    Raises:
        ParamsError: no such asset or reason, or stored parameters that this version does not accept.
        ManifestError: nothing is committed under the root.
    """
    _check_names(assets, reasons)
    storage = Storage(root)
    commits = {asset: _commits(storage, asset) for asset in ASSETS}
    if not any(commits.values()):
        raise ManifestError(f"Nothing is committed under {storage.root}. Run `curator run` first.")
    chosen = {asset: commits[asset] for asset in assets or ASSETS}
    failed = {
        (asset, partition): found
        for asset, by_partition in chosen.items()
        for partition, commit in by_partition.items()
        if (found := failed_items(commit, reasons))
    }
    items: Counter[tuple[str, str]] = Counter()
    for (asset, _), found in failed.items():
        items.update({(asset, reason): count for reason, count in found.items()})
    groups: dict[str, list[str]] = {}
    for partition in _touched(storage, failed):
        groups.setdefault(_stored_params(commits, partition), []).append(partition)
    retried = [str(reason) for reason in reasons or FAILED_REASONS]
    plans = [_plan(storage, json.loads(params), executor, group) for params, group in groups.items()]
    return Retry(items, [_retrying(plan, {asset for asset, _ in failed}, retried) for plan in plans])


def failed_items(commit: Commit, reasons: Collection[str] = ()) -> Counter[str]:
    """Items of a table with failed rows, by reason; of these reasons alone, where some are given."""
    found = Counter(reason for entry in commit.files for failed in entry.failed.values() for reason in failed)
    return Counter({reason: count for reason, count in found.items() if not reasons or reason in reasons})


def _check_names(assets: Iterable[str], reasons: Iterable[str]) -> None:
    for name, given, known in (("--asset", assets, ASSETS), ("--reason", reasons, FAILED_REASONS)):
        unknown = sorted(set(given) - {str(each) for each in known})
        if unknown:
            raise ParamsError(f"{name} must be one of {', '.join(map(str, known))}, got {', '.join(unknown)}.")


def _commits(storage: Storage, asset: str) -> dict[str, Commit]:
    found = {
        name: last_commit(storage, ManifestRef(storage.root, asset, name))
        for name in committed_partitions(storage, asset)
    }
    return {partition: commit for partition, commit in found.items() if commit}


def _touched(storage: Storage, failed: Iterable[tuple[str, str]]) -> list[str]:
    """Partitions with a failed row, in the order of registration; all where it is of an asset that spans them."""
    partitions = {partition for _, partition in failed}
    registered = registered_partitions(storage)
    return registered if ALL in partitions else [key for key in registered if key in partitions]


def _stored_params(commits: dict[str, dict[str, Commit]], partition: str) -> str:
    """Parameters that the tables of a partition were made with, by phase, as JSON that is equal for equal ones."""
    stored: dict[str, Any] = {}
    for asset, params in ASSETS.items():
        commit = commits[asset].get(ALL if asset in SPANNING_ASSETS else partition)
        if commit:
            stored[params.phase] = {**commit.lineage["params"], "retry_reasons": []}
    return json.dumps(stored, sort_keys=True)


def _plan(storage: Storage, stored: dict[str, Any], executor: Any, partitions: list[str]) -> Plan:
    params = {phase: validate(model, phase, stored.get(phase, {})) for phase, model in PHASES.items()}
    made = [model.asset for phase, model in PHASES.items() if phase in stored]
    complete = [asset for asset in made if set(wanted_assets(asset)) <= set(made)]
    return Plan(storage.root, {**params, "executor": executor}, complete[-1], 0, partitions)


def _retrying(plan: Plan, assets: Collection[str], reasons: list[str]) -> Plan:
    """The plan, in which the phases of these assets try again what failed so."""
    retried = {ASSETS[asset].phase for asset in assets}
    params = {
        group: value.model_copy(update={"retry_reasons": reasons}) if group in retried else value
        for group, value in plan.params.items()
    }
    return Plan(plan.root, params, plan.until, plan.sources, plan.partitions)
