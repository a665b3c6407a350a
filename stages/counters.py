"""Figures that work adds up in a worker and the report shows: frames decoded, frame stores rebuilt, bytes read.

Kept beside the rows, since a row must not differ between a disturbed and an undisturbed run.
"""

import threading
from collections import defaultdict

_lock = threading.Lock()
_counts: defaultdict[str, float] = defaultdict(float)


def count(name: str, amount: float = 1.0) -> None:
    """Add to a figure of the batch that this worker is at. Safe from any thread."""
    with _lock:
        _counts[name] += amount


def drain() -> dict[str, float]:
    """Return what was counted since the last call, and begin again at 0."""
    with _lock:
        counts = dict(_counts)
        _counts.clear()
    return counts
