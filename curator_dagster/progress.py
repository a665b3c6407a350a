"""Progress of a phase as lines of text, a few seconds apart."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stages.run import Progress, Session

LINE_INTERVAL_S = 5.0

ProgressCallback = Callable[[Progress], None]


def progress_line(progress: Progress) -> str:
    """The progress of a phase in one line: "split: 12.4 of 61.5 min of video, 3 of 10 items, 850 frames/s, ..."."""
    parts = [format_items(progress)]
    if progress.video_total_s:
        parts.insert(0, f"{format_video(progress)} of video")
    begin = f"{progress.phase}: "
    if progress.activity:
        begin += f"{progress.activity} ..., "
    if not progress.is_working:
        return f"{begin}{', '.join(parts)}, {format_duration(progress.seconds)}"
    if progress.total_partitions > 1:
        parts.append(f"{progress.partitions} of {progress.total_partitions} partitions")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if rate := format_rate(progress):
        parts.append(rate)
    parts.append(format_duration(progress.seconds))
    if left := format_remaining(progress):
        parts.append(f"about {left} left")
    return f"{begin}{', '.join(parts)}"


def format_items(progress: Progress) -> str:
    """Items done and to do: "3 of 10 items"; "10 or more" while partitions are not planned yet."""
    return f"{progress.done} of {progress.total}{'' if progress.is_planned else ' or more'} items"


def format_video(progress: Progress) -> str:
    """Length of video done and to do, in one unit: "12.4 of 61.5 min", seconds below 100 s, hours above 100 h."""
    total_s = progress.video_total_s
    divisor, unit, digits = (1, "s", 0) if total_s < 100 else (60, "min", 1) if total_s < 360_000 else (3600, "h", 1)
    about = "" if progress.is_planned else "about "
    return f"{progress.video_s / divisor:.{digits}f} of {about}{total_s / divisor:.{digits}f} {unit}"


def format_rate(progress: Progress) -> str:
    """Frames, or items where there are none, per second, or per minute below one a second; empty before the first."""
    per_s, things = (progress.frames_per_s, "frames") if progress.video_total_s else (progress.items_per_s, "items")
    if not per_s:
        return ""
    return f"{60 * per_s:.1f} {things}/min" if per_s < 1 else f"{per_s:.{1 if per_s < 100 else 0}f} {things}/s"


def format_remaining(progress: Progress) -> str:
    """The estimated time until the end; empty while it is unknown, and at the end."""
    return "" if progress.is_over or progress.remaining_s is None else format_duration(progress.remaining_s)


def format_duration(seconds: float) -> str:
    """Rounded for reading: "42 s", "2 min 10 s", "17 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 600:
        tens = round(seconds / 10)
        return f"{tens // 6} min" + (f" {tens % 6 * 10} s" if tens % 6 else "")
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def progress_logger(write: Callable[[str], object], every_s: float = LINE_INTERVAL_S) -> ProgressCallback:
    """A callback that writes a line at the beginning and end of a phase, and every few seconds between.

    What is done before the work begins, such as starting Ray, has a line of its own.
    """
    last_progress: Progress | None = None
    last_written_at = 0.0

    def report(progress: Progress) -> None:
        nonlocal last_progress, last_written_at
        is_new = last_progress is None or (last_progress.phase, last_progress.activity) != (
            progress.phase,
            progress.activity,
        )
        has_ended = progress.is_over and (is_new or (last_progress is not None and last_progress.done < progress.done))
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
