"""What a person sees in a terminal: tables on standard output, progress and messages on standard error."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from curator_dagster.progress import Report, lines, rate, span
from stages.params import PHASES
from stages.run import PhaseReport, Progress
from stages.schemas import STATUSES

_PIPE_WIDTH = 200
"""Columns of a table where no terminal says how wide it is."""


def output() -> Console:
    """Standard output."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def messages() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def safe(value: object) -> Text:
    """A value as one line of text that cannot steer the terminal, whatever stands in a file's name or a caption."""
    text = "" if value is None else value if isinstance(value, str) else _compact(value)
    return Text("".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text))


def _compact(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False, default=str)


PROSE = ("uri", "error", "caption", "path")
"""Columns that give way where a terminal is narrow; the others keep each value on one line."""


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = ()) -> Table:
    """A plain table; the columns named as numbers stand to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        justify = "right" if name in numbers else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=name not in PROSE)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else safe(value) for value in row))
    return table


def summary(runs: Iterable[dict[str, PhaseReport]]) -> Table:
    """What each phase kept, rejected and failed, over all partitions and passes, and how much of it was there already.

    A pass is timed as a whole, so its seconds count once, not once a partition.
    """
    columns = ["phase", *STATUSES, "reused", "redecided", "computed", "seconds"]
    totals: dict[str, list[float]] = {}
    for reports in runs:
        for place, report in enumerate(reports.values()):
            figures = [
                *(report.counts.get(status, 0) for status in STATUSES),
                *(report.reused, report.redecided, report.computed, 0 if place else report.seconds),
            ]
            before = totals.get(report.phase, [0] * len(figures))
            totals[report.phase] = [a + b for a, b in zip(before, figures, strict=True)]
    rows = [[phase, *totals[phase][:-1], f"{totals[phase][-1]:.1f}"] for phase in PHASES if phase in totals]
    return table_of(columns, rows, numbers=columns[1:])


def reasons_of_runs(runs: Iterable[dict[str, PhaseReport]]) -> Table | None:
    """Why rows were rejected or failed, of all phases, most frequent first; None where all were kept."""
    totals: dict[str, Counter[str]] = {}
    for reports in runs:
        for report in reports.values():
            totals.setdefault(report.phase, Counter()).update(report.reasons)
    shown = [(phase, reason, rows) for phase in PHASES for reason, rows in totals.get(phase, Counter()).most_common()]
    return table_of(["phase", "reason", "rows"], shown, numbers=["rows"]) if shown else None


@contextmanager
def progress_display(console: Console) -> Iterator[Report]:
    """Shows progress: bars in a terminal, else a line when a phase begins, ends, and every few seconds."""
    if console.is_terminal:
        with _bars(console) as bars:
            yield _on_bars(bars)
    else:
        yield lines(console.print)


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed", markup=False),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=console,
    )


def _on_bars(bars: Bars) -> Callable[[Progress], None]:
    """One bar a phase; the next phase begins one of its own."""
    tasks = {}

    def report(progress: Progress) -> None:
        if progress.phase not in tasks:
            tasks[progress.phase] = bars.add_task(progress.phase, total=None, failed=0, rate="", left="")
        is_over = progress.done == progress.total or progress.remaining_s is None
        bars.update(
            tasks[progress.phase],
            completed=progress.done,
            total=progress.total or None,
            failed=progress.failed,
            rate=rate(progress) if progress.done else "",
            left="" if is_over else f"{span(progress.remaining_s or 0)} left",
        )

    return report
