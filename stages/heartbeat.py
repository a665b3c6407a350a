"""Heartbeats and counters: the progress that work in a process reports to the worker pool.

The decoder calls `beat` at each frame, the worker at each batch. A worker whose number of beats stays the same for too
long counts as hanging. The time without progress is limited, not the duration of an item: an item that beats may take
hours.
`count` adds to counters of the report: frames decoded, frame stores rebuilt, bytes read. They are kept out of the rows,
since a row must not differ between a disturbed and an undisturbed run. The watchdog reads them with the beats while a
batch runs, so that the progress inside a long item is seen. Where work and driver share a process, the driver listens
to the beats instead, see `listening`.
"""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_beats = itertools.count(1)
_last = 0
_listener: "_Listener | None" = None
_lock = threading.Lock()
_counts: defaultdict[str, float] = defaultdict(float)
_of_thread = threading.local()


def beat() -> None:
    """Report progress. Takes about 0.1 microseconds and is safe from any thread."""
    global _last
    _last = next(_beats)
    if _listener is not None:
        _listener.on_beat()


def beats() -> int:
    """The number of calls of `beat` in this process."""
    return _last


def count(name: str, amount: float = 1.0) -> None:
    """Add to a counter of the current batch. Safe from any thread."""
    with _lock:
        getattr(_of_thread, "counts", _counts)[name] += amount


def counts() -> dict[str, float]:
    """The counters of the current batch so far, by name."""
    with _lock:
        return dict(_counts)


def take_counts() -> dict[str, float]:
    """Return the counters by name, and reset them to 0."""
    with _lock:
        counts = dict(_counts)
        _counts.clear()
    return counts


@contextmanager
def separate_counts() -> Iterator[dict[str, float]]:
    """Count what this thread counts inside the block apart, into the value: other batches are in work beside it."""
    _of_thread.counts = counts = defaultdict[str, float](float)
    try:
        yield counts
    finally:
        del _of_thread.counts


class _Listener:
    """Calls a function at beats of the thread that made it, and keeps the error by which it failed."""

    def __init__(self, call: Callable[[], object], interval_s: float) -> None:
        self._call = call
        self._interval_s = interval_s
        self._thread = threading.get_ident()
        self._next_at = time.monotonic() + interval_s
        self._is_calling = False
        self.error: Exception | None = None

    def on_beat(self) -> None:
        is_here = threading.get_ident() == self._thread and not self._is_calling
        if not is_here or self.error is not None or time.monotonic() < self._next_at:
            return
        self._is_calling = True
        try:
            self._call()
        except Exception as error:  # noqa: BLE001 - the work would take it for its own error; `listening` raises it
            self.error = error
        finally:
            self._is_calling = False
            self._next_at = time.monotonic() + self._interval_s


@contextmanager
def listening(call: Callable[[], object], interval_s: float) -> Iterator[None]:
    """Call a function at beats of this thread inside the block, at most once in an interval.

    Its error is raised at the end of the block. An interrupt is raised at once.
    """
    global _listener
    before, listener = _listener, _Listener(call, interval_s)
    _listener = listener
    try:
        yield
    finally:
        _listener = before
    if listener.error is not None:
        raise listener.error
