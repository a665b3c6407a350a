"""Evaluates the checks of an asset on the tables of a run, and says which of them stop it."""

import logging
from collections.abc import Mapping, Sequence

from curator_dagster.checks.check_result import CheckResult, worst_first
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.checks.registry import Check
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


def evaluate_all(
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


def blocking_failure(check: Check, asset: str, params: CheckParams, results: ResultsByPartition) -> str | None:
    """What a run is stopped with, where the check is blocking and failed as an error; logs a failure of any kind."""
    _, worst = worst_first(results)[0]
    if worst.passed:
        return None
    description = describe(results)
    logger.warning("Check %s of %s: %s", check.name, asset, description)
    is_stopped = check.is_blocking and is_error(check, params, worst)
    return f"Check {check.name} of {asset} failed: {description}" if is_stopped else None


def is_error(check: Check, params: CheckParams, worst: CheckResult) -> bool:
    """Whether a failure counts as an error; one that could not be evaluated is a warning."""
    return check.severity(params) == "error" and worst.is_evaluated


def blocking_message(failures: Sequence[str]) -> str:
    """The text of the error that stops the run."""
    return "\n".join(
        [*failures, "What is committed stays. A check that is set to warn (checks.NAME=warn) stops nothing."]
    )


def describe(results: ResultsByPartition) -> str:
    """The results of one check of all partitions, in a sentence."""
    ordered = worst_first(results)
    partition, worst = ordered[0]
    if len(ordered) == 1:
        return worst.description
    failed = sum(not result_of_partition.passed for _, result_of_partition in ordered)
    if not failed:
        return f"{len(ordered)} partitions passed; the nearest to failing is {partition}: {worst.description}"
    return f"{failed} of {len(ordered)} partitions failed; the worst is {partition}: {worst.description}"
