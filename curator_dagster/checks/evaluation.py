"""Taking the checks of a phase's run, and telling Dagster: a result a partition, and one of the run.

A run of one partition has one result a check. In a run of several, Dagster's own way would give one for all and leave
the partitions without; so the result of each partition is logged, and then one without partition is returned, which
the worst partition decides: the asset's page and its badge show that, the check's partitions show theirs.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,  # has no public name
)

from curator_dagster.checks.declared import Check, checks_of
from curator_dagster.checks.history import ScoreHistory
from curator_dagster.checks.shown import shown, worst_first
from curator_dagster.checks.verdict import Subject, Verdict
from stages import retry
from stages.errors import CurationError, StorageError
from stages.params import CheckParams
from stages.run import PhaseReport
from stages.storage import Storage

logger = logging.getLogger(__name__)

Reports = Mapping[str, PhaseReport]
Verdicts = Mapping[str, Verdict]
"""Of one check, by partition."""

_PATIENCE = retry.Backoff(tries=3)
"""The table is committed: a store that is away costs its checks, and should not cost a minute each."""
_KEYS_AT_ONCE = 500
"""Dagster hands out a thousand events at once at most."""


def evaluated(
    context: dg.AssetExecutionContext, params: CheckParams, storage: Storage, reports: Reports
) -> Iterator[dg.AssetCheckResult]:
    """The result of each check of the asset, over the partitions of the run. To be used after its materialization.

    Raises:
        dg.Failure: after all results, where a blocking check failed as an error.
    """
    asset = next(iter(reports.values())).asset
    selected = {key.name for key in context.selected_asset_check_keys}
    checks = [check for check in checks_of(asset, params) if check.name in selected]
    verdicts = _verdicts(checks, params, storage, reports)
    stopping: list[str] = []
    targets = _targets(context, list(reports)) if _is_range(context) else {}
    for check in checks:
        found = verdicts[check.name]
        for partition, target in targets.items():
            # Dagster takes evaluations here, and tells of it in no type.
            context.log_event(_evaluation(context, check, params, partition=(partition, found[partition], target)))  # pyright: ignore[reportArgumentType]
        result = _result(check, params, found)
        if not result.passed:
            logger.warning("Check %s of %s: %s", check.name, asset, result.description)
        if not result.passed and check.is_blocking and result.severity == dg.AssetCheckSeverity.ERROR:
            stopping.append(f"Check {check.name} of {asset} failed: {result.description}")
        yield result
    if stopping:
        stopping.append("What is committed stays. A check that is set to warn (checks.NAME=warn) stops nothing.")
        raise dg.Failure(description="\n".join(stopping), allow_retries=False)


def _verdicts(
    checks: Sequence[Check], params: CheckParams, storage: Storage, reports: Reports
) -> dict[str, dict[str, Verdict]]:
    """By check and partition; one partition after the other, so that one table is in memory at a time."""
    history = ScoreHistory(storage)
    found: dict[str, dict[str, Verdict]] = {check.name: {} for check in checks}
    away: StorageError | None = None
    with retry.using(_PATIENCE):
        for partition, report in reports.items():
            subject = Subject(report, storage, params, history)
            for check in checks:
                try:
                    if away is not None and check.reads_store:
                        raise away
                    found[check.name][partition] = check.judge(subject)
                except (CurationError, OSError) as error:
                    away = error if isinstance(error, StorageError) else away
                    told = f"Could not be evaluated: {error} Materialize the partition again to have it checked."
                    found[check.name][partition] = Verdict(False, told, is_known=False)
    return found


def _is_range(context: dg.AssetExecutionContext) -> bool:
    """True where the run has several keys, or one in the form of a range, so that Dagster knows no key of the step."""
    return context.assets_def.partitions_def is not None and not context.has_partition_key


def _targets(context: dg.AssetExecutionContext, partitions: Sequence[str]) -> dict[str, Target | None]:
    """The newest materialization of each partition, without which Dagster takes the check of it for outdated."""
    targets: dict[str, Target | None] = dict.fromkeys(partitions)
    for start in range(0, len(partitions), _KEYS_AT_ONCE):
        keys = partitions[start : start + _KEYS_AT_ONCE]
        wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=keys)
        for record in reversed(context.instance.fetch_materializations(wanted, limit=len(keys)).records):
            if record.partition_key is not None:
                targets[record.partition_key] = Target(
                    storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
                )
    return targets


def _evaluation(
    context: dg.AssetExecutionContext,
    check: Check,
    params: CheckParams,
    *,
    partition: tuple[str, Verdict, Target | None],
) -> dg.AssetCheckEvaluation:
    key, verdict, target = partition
    result = _result(check, params, {key: verdict})
    return dg.AssetCheckEvaluation(
        asset_key=context.asset_key,
        check_name=check.name,
        passed=result.passed,
        metadata=result.metadata,
        target_materialization_data=target,
        severity=result.severity,
        description=result.description,
        blocking=check.is_blocking,
        partition=key,
    )


def _result(check: Check, params: CheckParams, verdicts: Verdicts) -> dg.AssetCheckResult:
    """Of one partition its own; of several that of the worst, with a table of all."""
    ordered = worst_first(verdicts)
    _, worst = ordered[0]
    is_error = check.severity(params) == "error" and worst.is_known
    return dg.AssetCheckResult(
        passed=worst.passed,
        check_name=check.name,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=_told(ordered),
        metadata=shown(ordered),
    )


def _told(ordered: Sequence[tuple[str, Verdict]]) -> str:
    partition, worst = ordered[0]
    if len(ordered) == 1:
        return worst.told
    failed = sum(not verdict.passed for _, verdict in ordered)
    if not failed:
        return f"{len(ordered)} partitions passed; the nearest to failing is {partition}: {worst.told}"
    return f"{failed} of {len(ordered)} partitions failed; the worst is {partition}: {worst.told}"
