"""Evaluates the checks of an asset and reports to Dagster: one result for each partition, and one for the run.

In a run of one partition, a check has one result. In a run of several, a returned result has no partition in Dagster,
so the evaluation of each partition is logged as an event. Then one result without partition is returned, that of the
worst partition: the asset's page and badge show this one, the partitions of the check show their own.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as TargetMaterialization,  # has no public name
)

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.check_specs import Check, checks_of
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.checks.result_metadata import result_metadata, worst_first
from curator_dagster.checks.score_history import ScoreHistory
from curator_dagster.checks.together import together
from stages import retry
from stages.errors import CurationError, StorageError
from stages.params import CheckParams
from stages.run import PhaseReport
from stages.storage import Storage

logger = logging.getLogger(__name__)

Reports = Mapping[str, PhaseReport]
ResultsByPartition = Mapping[str, CheckResult]
"""Results of one check by partition."""

_STORAGE_RETRIES = retry.Backoff(tries=3)
"""The table is committed already: where the store does not answer, its checks give up after a few tries."""
_NOT_EVALUATED = "Could not be evaluated: {} Materialize the partition again to have it checked."
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
    results = _evaluate_all(checks, params, storage, reports)
    failures: list[str] = []
    targets = _target_materializations(context, list(reports)) if _is_range(context) else {}
    for check in checks:
        found = results[check.name]
        for partition, target in targets.items():
            # Dagster accepts evaluations here, but its type does not say so.
            context.log_event(_evaluation(context, check, params, partition=(partition, found[partition], target)))
        result = _result(check, params, found)
        if not result.passed:
            logger.warning("Check %s of %s: %s", check.name, asset, result.description)
        if not result.passed and check.is_blocking and result.severity == dg.AssetCheckSeverity.ERROR:
            failures.append(f"Check {check.name} of {asset} failed: {result.description}")
        yield result
    if failures:
        failures.append("What is committed stays. A check that is set to warn (checks.NAME=warn) stops nothing.")
        raise dg.Failure(description="\n".join(failures), allow_retries=False)


def _evaluate_all(
    checks: Sequence[Check], params: CheckParams, storage: Storage, reports: Reports
) -> dict[str, dict[str, CheckResult]]:
    """Results by check and partition; partitions are read one by one, so that one table is in memory at a time."""
    history = ScoreHistory(storage)
    found: dict[str, dict[str, CheckResult]] = {check.name: {} for check in checks}
    storage_error: StorageError | None = None
    with retry.using(_STORAGE_RETRIES):
        for partition, report in reports.items():
            tables = {"": report, **report.further}
            checked = {name: CheckedTable(each, storage, params, history) for name, each in tables.items()}
            for check in checks:
                of_tables: dict[str, CheckResult] = {}
                for name, table in checked.items():
                    try:
                        if storage_error is not None and check.reads_storage:
                            raise storage_error
                        of_tables[name] = check.evaluate(table)
                    except (CurationError, OSError) as error:
                        storage_error = error if isinstance(error, StorageError) else storage_error
                        of_tables[name] = CheckResult(False, _NOT_EVALUATED.format(error), is_evaluated=False)
                found[check.name][partition] = together(of_tables)
    return found


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
    is_error = check.severity(params) == "error" and worst.is_evaluated
    return dg.AssetCheckResult(
        passed=worst.passed,
        check_name=check.name,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=_describe(ordered),
        metadata=result_metadata(ordered),
    )


def _describe(ordered: Sequence[tuple[str, CheckResult]]) -> str:
    partition, worst = ordered[0]
    if len(ordered) == 1:
        return worst.description
    failed = sum(not result_of_partition.passed for _, result_of_partition in ordered)
    if not failed:
        return f"{len(ordered)} partitions passed; the nearest to failing is {partition}: {worst.description}"
    return f"{failed} of {len(ordered)} partitions failed; the worst is {partition}: {worst.description}"
