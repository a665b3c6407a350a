"""The check on every asset that nothing got lost between its input and its table."""

from collections.abc import Iterable

import dagster as dg

from stages.run import PhaseReport

NO_ROW_LOST = "no_row_lost"


def no_row_lost_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Declares the check with the asset, so that it is no step of its own."""
    return dg.AssetCheckSpec(
        NO_ROW_LOST,
        asset=asset,
        blocking=True,
        description="Every row that came in came out: kept, rejected with a reason, or failed with an error.",
    )


def no_row_lost(reports: Iterable[PhaseReport]) -> dg.AssetCheckResult:
    """Passes where each item has a row, and each row a fate."""
    reports = list(reports)
    missing = sum(report.missing for report in reports)
    undecided = sum(report.rows - sum(report.counts.values()) for report in reports)
    where = [report.partition for report in reports if report.missing]
    return dg.AssetCheckResult(
        passed=not missing and not undecided,
        check_name=NO_ROW_LOST,
        metadata={
            "items": sum(report.items for report in reports),
            "rows": sum(report.rows for report in reports),
            "items_without_row": missing,
            "rows_without_fate": undecided,
            "partitions_with_loss": ", ".join(where[:20]),
        },
    )
