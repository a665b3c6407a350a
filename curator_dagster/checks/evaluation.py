"""Evaluates the checks of an asset and reports to Dagster: one result for each partition, and one for the run.

In a run of one partition, a check has one result. In a run of several, a returned result has no partition in Dagster,
so the evaluation of each partition is logged as an event. Then one result without partition is returned, that of the
worst partition: the asset's page and badge show this one, the partitions of the check show their own.
"""

from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as TargetMaterialization,  # has no public name
)

from curator_dagster.checks.check_result import CheckResult, worst_first
from curator_dagster.checks.evaluating import (
    Reports,
    ResultsByPartition,
    blocking_failure,
    blocking_message,
    describe,
    evaluate_all,
    is_error,
)
from curator_dagster.checks.registry import Check, checks_of
from curator_dagster.checks.result_metadata import result_metadata
from stages.params import CheckParams
from stages.storage import Storage

_MAX_KEYS_PER_QUERY = 500
"""Dagster returns at most a thousand events at once."""


def evaluate_checks(
    context: dg.AssetExecutionContext, params: CheckParams, storage: Storage, reports: Reports
) -> Iterator[dg.AssetCheckResult]:
    """The result of each check of the asset, over the partitions of the run. Call it after the materialization.

    Raises:
        dg.Failure: after all results, where a blocking check failed as an error.
    """
    asset = next(iter(reports.values())).asset
    selected = {key.name for key in context.selected_asset_check_keys}
    checks = [check for check in checks_of(asset, params) if check.name in selected]
    results = evaluate_all(checks, params, storage, reports)
    failures: list[str] = []
    targets = _target_materializations(context, list(reports)) if _is_range(context) else {}
    for check in checks:
        found = results[check.name]
        for partition, target in targets.items():
            # Dagster accepts evaluations here, but its type does not say so.
            context.log_event(_evaluation(context, check, params, partition=(partition, found[partition], target)))
        if failure := blocking_failure(check, asset, params, found):
            failures.append(failure)
        yield _result(check, params, found)
    if failures:
        raise dg.Failure(description=blocking_message(failures), allow_retries=False)


def _is_range(context: dg.AssetExecutionContext) -> bool:
    """True where the run selects a range of partitions, even of one key, so that the step has no partition key."""
    return context.assets_def.partitions_def is not None and not context.has_partition_key


def _target_materializations(
    context: dg.AssetExecutionContext, partitions: Sequence[str]
) -> dict[str, TargetMaterialization | None]:
    """The newest materialization of each partition; without it Dagster shows the evaluation as outdated."""
    targets: dict[str, TargetMaterialization | None] = dict.fromkeys(partitions)
    for start in range(0, len(partitions), _MAX_KEYS_PER_QUERY):
        keys = partitions[start : start + _MAX_KEYS_PER_QUERY]
        wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=keys)
        for record in reversed(context.instance.fetch_materializations(wanted, limit=len(keys)).records):
            if record.partition_key is not None:
                targets[record.partition_key] = TargetMaterialization(
                    storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
                )
    return targets


def _evaluation(
    context: dg.AssetExecutionContext,
    check: Check,
    params: CheckParams,
    *,
    partition: tuple[str, CheckResult, TargetMaterialization | None],
) -> dg.AssetCheckEvaluation:
    key, result_of_partition, target = partition
    result = _result(check, params, {key: result_of_partition})
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


def _result(check: Check, params: CheckParams, results: ResultsByPartition) -> dg.AssetCheckResult:
    """The result of one partition; of several, that of the worst, with a table of all."""
    ordered = worst_first(results)
    _, worst = ordered[0]
    severity = dg.AssetCheckSeverity.ERROR if is_error(check, params, worst) else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=worst.passed,
        check_name=check.name,
        severity=severity,
        description=describe(results),
        metadata=result_metadata(ordered),
    )
