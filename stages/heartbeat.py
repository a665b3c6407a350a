"""Heartbeats and counters: the progress that work in a process reports to the worker pool.

The decoder calls `beat` at each frame, the worker at each batch. A worker whose number of beats stays the same for too
long counts as hanging. The time without progress is limited, not the duration of an item: an item that beats may take
hours.
`count` adds to counters of the report: frames decoded, frame stores rebuilt, bytes read. They are kept out of the rows,
since a row must not differ between a disturbed and an undisturbed run. The watchdog reads them with the beats while a
batch runs, so that the progress inside a long item is seen.
"""

import itertools
import threading
from collections import defaultdict

_beats = itertools.count(1)
_last = 0
_lock = threading.Lock()
_counts: defaultdict[str, float] = defaultdict(float)


def beat() -> None:
    """Report progress. Takes about 0.1 microseconds and is safe from any thread."""
    global _last
    _last = next(_beats)


def beats() -> int:
    """The number of calls of `beat` in this process."""
    return _last


def count(name: str, amount: float = 1.0) -> None:
    """Add to a counter of the current batch. Safe from any thread."""
    with _lock:
        _counts[name] += amount


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
