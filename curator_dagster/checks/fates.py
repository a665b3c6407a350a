"""Checks on what the phase reports: nothing got lost, and not too much failed."""

from curator_dagster.checks.verdict import Subject, Verdict


def no_row_lost(subject: Subject) -> Verdict:
    """Passes where each item has a row, and each row a fate."""
    report = subject.report
    undecided = report.rows - sum(report.counts.values())
    lost = report.missing + abs(undecided)
    figures = {
        "items": report.items,
        "rows": report.rows,
        "items_without_row": report.missing,
        "rows_without_fate": undecided,
    }
    told = f"Items without a row: 0 of {report.items}. Rows: {report.rows}."
    if lost:
        told = (
            f"Every item must have a row and every row a fate, got {report.missing} items without a row and "
            f"{undecided} rows without a fate. Materialize the partition again; if that does not mend it, the phase is "
            "at fault."
        )
    return Verdict(not lost, told, figures, excess=lost)


def failed_share(subject: Subject) -> Verdict:
    """Passes where at most ``checks.failed_max`` of the rows failed."""
    report, most = subject.report, subject.params.failed_max
    failed = report.counts.get("failed", 0)
    share = failed / report.rows if report.rows else 0.0
    figures = {"failed": failed, "rows": report.rows, "share": round(share, 4), "failed_max": most}
    told = f"{failed} of {report.rows} rows failed ({share:.1%}; at most {most:.1%})."
    if share > most:
        told += " The metadata of the materialization has their reasons; `curator retry` tries them again."
    return Verdict(share <= most, told, figures, excess=share - most)
