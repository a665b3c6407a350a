"""What a run of a phase made and what it found made, in one line, and why."""

from collections import Counter
from collections.abc import Mapping

from stages.manifest import ALL_PARTITIONS
from stages.run import PhaseReport


def account(reports: Mapping[str, PhaseReport]) -> str:
    """Items of all partitions together, as "split: 12 partitions, 768 items: 760 reused, 0 redecided, 8 computed".

    Ends with what differs from the last time, where that undid rows: "because split.threshold changed from 0.4 to
    0.3"; with the number of partitions that it undid, where it was not all.
    """
    each = list(reports.values())
    if not each:
        return "Nothing was to be made."
    items, reused, redecided, computed = (
        sum(getattr(report, name) for report in each) for name in ("items", "reused", "redecided", "computed")
    )
    partitions = _counted(len(each), "partition") if ALL_PARTITIONS not in reports else "all partitions"
    done = f"{reused} reused, {redecided} redecided, {computed} computed"
    line = f"{each[0].phase}: {partitions}, {_counted(items, 'item')}: {done}"
    undone = Counter(change for report in each for change in why(report))
    words = [change if times == len(each) else f"{change} (in {times})" for change, times in undone.items()]
    return f"{line} because {' and '.join(words)}" if words else line


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def why(report: PhaseReport) -> list[str]:
    """What undid rows of one partition; none where all stayed, or where they were made the first time."""
    return report.changes if report.computed or report.redecided else []
