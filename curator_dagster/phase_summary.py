"""Lines about a run of a phase: before it, changed parameters; after it, items by reuse and the causes."""

from collections import Counter
from collections.abc import Mapping, Sequence

from stages.manifest import ALL, ManifestRef
from stages.params import Params
from stages.run import PhaseReport, changed_params


def summary_line(reports: Mapping[str, PhaseReport]) -> str:
    """Items of all partitions together, as "split: 12 partitions, 768 items: 760 reused, 0 redecided, 8 computed".

    Ends with the causes: "because split.threshold changed from 0.4 to 0.3". A change that affects only some of the
    partitions has their number. Where the changes lead back to rows that earlier runs made, it says so.
    """
    phase_reports = list(reports.values())
    if not phase_reports:
        return "Nothing was to be made."
    items, reused, redecided, computed = (
        sum(getattr(report, name) for report in phase_reports) for name in ("items", "reused", "redecided", "computed")
    )
    partitions = _plural(len(phase_reports), "partition") if ALL not in reports else "all partitions"
    work = f"{reused} reused, {redecided} redecided, {computed} computed"
    line = f"{phase_reports[0].title}: {partitions}, {_plural(items, 'item')}: {work}"
    changes = Counter(change for report in phase_reports for change in report.changes)
    causes = [change if times == len(phase_reports) else f"{change} (in {times})" for change, times in changes.items()]
    if not causes:
        return line
    earlier = ", rows made earlier are used again" if reused and not (redecided or computed) else ""
    return f"{line} because {' and '.join(causes)}{earlier}"


def precedence_lines(reports: Mapping[str, PhaseReport]) -> list[str]:
    """A line for each partition of which another run at the same time committed a version too.

    As "clips of p1: superseded by version 2 of run 7 (5f1c...), which started later".
    """
    lines = []
    for partition, report in reports.items():
        table = f"{report.asset} of {partition}"
        if report.superseded:
            lines.append(f"{table}: superseded by {report.superseded}")
        if report.supersedes:
            lines.append(f"{table}: committed over {report.supersedes}, which another run made at the same time")
    return lines


def further_reports(reports: Mapping[str, PhaseReport]) -> list[dict[str, PhaseReport]]:
    """The reports by partition of each further table that the phase made, in the order in which it did."""
    names = dict.fromkeys(name for report in reports.values() for name in report.further)
    return [{key: each.further[name] for key, each in reports.items() if name in each.further} for name in names]


def changed_params_line(params: Params, tables: Sequence[ManifestRef]) -> str:
    """Says which parameters of a phase differ from those of its tables, and of how many; empty where none does.

    As "clips: split.threshold changed from 0.3 to 0.4 (in 2 of 3 tables)".
    """
    changes = changed_params(params, tables)
    parts = [
        change if count == len(tables) else f"{change} (in {count} of {len(tables)} tables)"
        for change, count in changes.items()
    ]
    return f"{params.table}: {'; '.join(parts)}" if parts else ""


def _plural(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def causes_of(report: PhaseReport) -> str:
    """The changes since the last version of one partition's table, in a sentence; empty where there are none."""
    if not report.changes:
        return ""
    is_reused = report.reused and not (report.computed or report.redecided)
    earlier = "; rows made earlier are used again" if is_reused else ""
    return "; ".join(report.changes) + earlier
