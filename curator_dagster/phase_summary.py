"""One line that sums up a run of a phase: items reused, redecided and computed, and which changes caused that."""

from collections import Counter
from collections.abc import Mapping

from stages.manifest import ALL
from stages.run import PhaseReport


def summary_line(reports: Mapping[str, PhaseReport]) -> str:
    """Items of all partitions together, as "split: 12 partitions, 768 items: 760 reused, 0 redecided, 8 computed".

    Ends with the changes that invalidated rows: "because split.threshold changed from 0.4 to 0.3". A change that
    affects only some of the partitions has their number.
    """
    phase_reports = list(reports.values())
    if not phase_reports:
        return "Nothing was to be made."
    items, reused, redecided, computed = (
        sum(getattr(report, name) for report in phase_reports) for name in ("items", "reused", "redecided", "computed")
    )
    partitions = _plural(len(phase_reports), "partition") if ALL not in reports else "all partitions"
    work = f"{reused} reused, {redecided} redecided, {computed} computed"
    line = f"{phase_reports[0].phase}: {partitions}, {_plural(items, 'item')}: {work}"
    changes = Counter(change for report in phase_reports for change in invalidating_changes(report))
    causes = [change if times == len(phase_reports) else f"{change} (in {times})" for change, times in changes.items()]
    return f"{line} because {' and '.join(causes)}" if causes else line


def _plural(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def invalidating_changes(report: PhaseReport) -> list[str]:
    """Changes that invalidated rows of one partition; none where all rows stayed valid, or in its first run."""
    return report.changes if report.computed or report.redecided else []
