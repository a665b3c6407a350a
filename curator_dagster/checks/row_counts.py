"""The checks of row counts in the report of a phase: no row is lost, and few rows failed."""

import math
import shlex

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.printable_text import printable
from stages.errors import FAILED_REASONS

_ROUNDING = 1e-9
"""29 of 100 rows are 0.29 of them, although 0.29 * 100 is less than 29 in floating point."""


def no_row_lost(checked: CheckedTable) -> CheckResult:
    """Passes where each item has a row, and each row is kept, rejected or failed."""
    report = checked.report
    without_status = report.rows - sum(report.counts.values())
    lost = report.missing + abs(without_status)
    metadata = {
        "items": report.items,
        "rows": report.rows,
        "items_without_row": report.missing,
        "rows_without_fate": without_status,
        "allowed": 0,
    }
    description = f"Items without a row: 0 of {report.items} (at most 0). Rows: {report.rows}."
    if lost:
        description = (
            f"Every item must have a row and every row a fate, got {report.missing} items without a row and "
            f"{without_status} rows without a fate. Materialize the partition again; if that does not mend it, the "
            "phase is at fault."
        )
    return CheckResult(not lost, description, metadata, excess=lost)


def failed_share(checked: CheckedTable) -> CheckResult:
    """Passes where at most one row failed, or ``checks.failed_max`` of them if that is more; 0 allows none."""
    report, limit = checked.report, checked.params.failed_max
    failed = report.counts.get("failed", 0)
    share = failed / report.rows if report.rows else 0.0
    allowed = max(1, math.floor(limit * report.rows + _ROUNDING)) if limit else 0
    rule = f"the larger of 1 row and {limit:.1%}" if limit else "checks.failed_max is 0"
    metadata = {
        "failed": failed,
        "failed_allowed": allowed,
        "rows": report.rows,
        "share": round(share, 4),
        "failed_max": limit,
    }
    description = f"{failed} of {report.rows} rows failed, at most {allowed} may ({rule})."
    if failed > allowed:
        description += _failed_reasons(checked)
    return CheckResult(failed <= allowed, description, metadata, excess=(failed - allowed) / max(1, report.rows))


def _failed_reasons(checked: CheckedTable) -> str:
    """Reasons of the failed rows, and the commands that list them and try them again."""
    counted = {reason: rows for reason, rows in checked.report.reasons.items() if reason in FAILED_REASONS}
    reasons = "".join(f" {printable(reason)}: {rows}." for reason, rows in counted.items())
    root = shlex.quote(printable(checked.storage.root))
    listing = f"`curator show {root} {checked.report.asset} --status failed` lists them"
    return f"{reasons} {listing}, `curator retry {root}` tries them again."
