"""Terminal output: tables on standard output, progress and messages on standard error."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Column, Table
from rich.text import Text

from curator_dagster.phase_summary import further_reports
from curator_dagster.progress import (
    ProgressCallback,
    format_rate,
    format_remaining,
    format_video,
    progress_logger,
)
from stages.params import PHASES
from stages.run import PhaseReport, Progress
from stages.schemas import STATUSES

_PIPE_WIDTH = 200
"""Width of tables where the output is no terminal."""


def stdout_console() -> Console:
    """A console on standard output."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def stderr_console() -> Console:
    """A console on standard error."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def terminal_text(value: object) -> Text:
    """A value as one line without control characters, which file names and captions may contain."""
    text = "" if value is None else value if isinstance(value, str) else _format_value(value)
    return Text("".join(char if char.isprintable() else repr(char)[1:-1] for char in text))


def _format_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False, default=str)


def format_hours(hours: float) -> str:
    """Hours of video in a table: two decimals, below an hour three significant digits, so that a few seconds show."""
    return f"{hours:.2f}" if hours >= 1 else f"{hours:.3g}"


WRAPPED_COLUMNS = ("uri", "error", "caption", "path", "names")
"""Columns that wrap in a narrow terminal; the others keep each value on one line."""


def build_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = ()) -> Table:
    """A plain table; the columns in `numbers` are aligned right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        justify = "right" if name in numbers else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=name not in WRAPPED_COLUMNS)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else terminal_text(value) for value in row))
    return table


def summary_table(runs: Iterable[dict[str, PhaseReport]]) -> Table:
    """Rows by status and items by reuse for each phase, summed over partitions and runs.

    A run of a phase is timed as a whole, so its seconds count once, not once a partition.
    """
    columns = ["phase", *STATUSES, "reused", "redecided", "computed", "seconds"]
    totals: dict[str, list[float]] = {}
    for reports in _with_further(runs):
        for index, report in enumerate(reports.values()):
            figures = [
                *(report.counts.get(status, 0) for status in STATUSES),
                *(report.reused, report.redecided, report.computed, 0 if index else report.seconds),
            ]
            before = totals.get(report.title, [0] * len(figures))
            totals[report.title] = [a + b for a, b in zip(before, figures, strict=True)]
    rows = [[title, *totals[title][:-1], f"{totals[title][-1]:.1f}"] for title in _in_order(totals)]
    return build_table(columns, rows, numbers=columns[1:])


def reasons_table(runs: Iterable[dict[str, PhaseReport]]) -> Table | None:
    """Reasons of rejected and failed rows by phase, most frequent first; None where all rows were kept."""
    totals: dict[str, Counter[str]] = {}
    for reports in _with_further(runs):
        for report in reports.values():
            totals.setdefault(report.title, Counter()).update(report.reasons)
    shown = [(title, reason, rows) for title in _in_order(totals) for reason, rows in totals[title].most_common()]
    return build_table(["phase", "reason", "rows"], shown, numbers=["rows"]) if shown else None


def _with_further(runs: Iterable[dict[str, PhaseReport]]) -> Iterator[dict[str, PhaseReport]]:
    """The reports of each run of a phase, those of further tables behind those of the asset's own."""
    for reports in runs:
        yield reports
        yield from further_reports(reports)


def _in_order(titles: Iterable[str]) -> list[str]:
    """Titles of reports in the order of their phases, those of one phase as they come."""
    order = list(PHASES)
    return sorted(titles, key=lambda title: order.index(title.partition(" ")[0]))


@contextmanager
def progress_display(console: Console) -> Iterator[ProgressCallback]:
    """A callback that shows progress: as bars in a terminal, else as lines."""
    if console.is_terminal:
        with _progress_bars(console) as bars:
            yield _bar_updater(bars)
    else:
        yield progress_logger(console.print)


def _progress_bars(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
    )


def _bar_updater(bars: RichProgress) -> Callable[[Progress], None]:
    """A callback that updates one bar for each phase."""
    tasks = {}

    def update(progress: Progress) -> None:
        if progress.phase not in tasks:
            tasks[progress.phase] = bars.add_task(progress.phase, total=None, text="")
        bars.update(
            tasks[progress.phase],
            completed=progress.share,
            total=1.0 if progress.is_working else None,
            text=_bar_text(progress),
        )

    return update


def _bar_text(progress: Progress) -> str:
    """What stands behind the bar: "12.4 of 61.5 min, 3/10, 1 failed, 850 frames/s, 3 min left"."""
    if not progress.is_working and progress.activity:
        return f"{progress.activity} ..."
    parts = [
        progress.activity,
        format_video(progress) if progress.video_total_s else "",
        f"{progress.done}/{progress.total}{'' if progress.is_planned else '+'}",
        f"{progress.failed} failed" if progress.failed else "",
        format_rate(progress),
        f"{left} left" if (left := format_remaining(progress)) else "",
    ]
    return ", ".join(part for part in parts if part)
