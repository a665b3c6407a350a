"""Progress of a phase as lines of text, a few seconds apart."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stages.run import Progress, Session

LINE_INTERVAL_S = 5.0

ProgressCallback = Callable[[Progress], None]


def progress_line(progress: Progress) -> str:
    """The progress of a phase in one line."""
    parts = [f"{progress.phase}: {progress.done} of {progress.total} items"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.done:
        parts.append(format_rate(progress))
    parts.append(format_duration(progress.seconds))
    if progress.done < progress.total and progress.remaining_s is not None:
        parts.append(f"about {format_duration(progress.remaining_s)} left")
    return ", ".join(parts)


def format_rate(progress: Progress) -> str:
    """Items per second, or per minute below one a second."""
    per_s = progress.items_per_s
    return f"{per_s:.1f} items/s" if per_s >= 1 else f"{60 * per_s:.1f} items/min"


def format_duration(seconds: float) -> str:
    """Rounded for reading: "42 s", "7 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def progress_logger(write: Callable[[str], object], every_s: float = LINE_INTERVAL_S) -> ProgressCallback:
    """A callback that writes a line at the beginning and end of a phase, and every few seconds between."""
    last_progress: Progress | None = None
    last_written_at = 0.0

    def report(progress: Progress) -> None:
        nonlocal last_progress, last_written_at
        is_new = last_progress is None or last_progress.phase != progress.phase
        has_ended = progress.done == progress.total and (
            is_new or (last_progress is not None and last_progress.done < progress.done)
        )
        if is_new or has_ended or time.monotonic() - last_written_at >= every_s:
            write(progress_line(progress))
            last_progress, last_written_at = progress, time.monotonic()

    return report


@contextmanager
def progress_callback(session: Session, callback: ProgressCallback) -> Iterator[None]:
    """Call `callback` with the progress of the session inside the block, in addition to the callback that it has."""
    previous = session.on_progress

    def call_both(progress: Progress) -> None:
        if previous is not None:
            previous(progress)
        callback(progress)

    session.on_progress = call_both
    try:
        yield
    finally:
        session.on_progress = previous
