"""Progress of a phase as lines of text, at a bearable rate."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stages.run import Progress, Session

LINE_EVERY_S = 5.0

Report = Callable[[Progress], None]


def progress_line(progress: Progress) -> str:
    """How far a phase has come, in one line."""
    parts = [f"{progress.phase}: {progress.done} of {progress.total} items"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.done:
        parts.append(rate(progress))
    parts.append(span(progress.seconds))
    if progress.done < progress.total and progress.remaining_s is not None:
        parts.append(f"about {span(progress.remaining_s)} left")
    return ", ".join(parts)


def rate(progress: Progress) -> str:
    """Items a second, or a minute where they are slow."""
    per_s = progress.items_per_s
    return f"{per_s:.1f} items/s" if per_s >= 1 else f"{60 * per_s:.1f} items/min"


def span(seconds: float) -> str:
    """A time that a person reads at a glance: "42 s", "7 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def lines(write: Callable[[str], object], every_s: float = LINE_EVERY_S) -> Report:
    """A report that writes a line when a phase has begun, has ended, and every few seconds between."""
    last: Progress | None = None
    last_at = 0.0

    def report(progress: Progress) -> None:
        nonlocal last, last_at
        is_new = last is None or last.phase != progress.phase
        has_ended = progress.done == progress.total and (is_new or (last is not None and last.done < progress.done))
        if is_new or has_ended or time.monotonic() - last_at >= every_s:
            write(progress_line(progress))
            last, last_at = progress, time.monotonic()

    return report


@contextmanager
def reported(session: Session, report: Report) -> Iterator[None]:
    """Progress of the session also goes to `report` inside the block, and afterwards only where it went before."""
    before = session.on_progress

    def both(progress: Progress) -> None:
        if before is not None:
            before(progress)
        report(progress)

    session.on_progress = both
    try:
        yield
    finally:
        session.on_progress = before
