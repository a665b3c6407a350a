"""The checks of row counts in the report of a phase: no row is lost, and few rows failed."""

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.checked_table import CheckedTable


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
    }
    description = f"Items without a row: 0 of {report.items}. Rows: {report.rows}."
    if lost:
        description = (
            f"Every item must have a row and every row a fate, got {report.missing} items without a row and "
            f"{without_status} rows without a fate. Materialize the partition again; if that does not mend it, the "
            "phase is at fault."
        )
    return CheckResult(not lost, description, metadata, excess=lost)


def failed_share(checked: CheckedTable) -> CheckResult:
    """Passes where at most ``checks.failed_max`` of the rows failed."""
    report, limit = checked.report, checked.params.failed_max
    failed = report.counts.get("failed", 0)
    share = failed / report.rows if report.rows else 0.0
    metadata = {"failed": failed, "rows": report.rows, "share": round(share, 4), "failed_max": limit}
    description = f"{failed} of {report.rows} rows failed ({share:.1%}; at most {limit:.1%})."
    if share > limit:
        description += " The metadata of the materialization has their reasons; `curator retry` tries them again."
    return CheckResult(share <= limit, description, metadata, excess=share - limit)
