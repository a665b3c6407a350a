"""What work tells its watcher: that it goes on, and how much it did.

Decoding calls `beat` at each frame and the worker at each batch; no movement for long enough means that a worker hangs.
An item may take hours as long as this moves: what is limited is time without progress, not the length of an item.
`count` adds to figures of the report: frames decoded, frame stores rebuilt, bytes read. They are kept beside the rows,
since a row must not differ between a disturbed and an undisturbed run.
"""

import itertools
import threading
from collections import defaultdict

_beats = itertools.count(1)
_last = 0
_lock = threading.Lock()
_counts: defaultdict[str, float] = defaultdict(float)


def beat() -> None:
    """Tell that some work was done. Costs about 0.1 microseconds and is safe from any thread."""
    global _last
    _last = next(_beats)


def beats() -> int:
    """How often `beat` has been called in this process."""
    return _last


def count(name: str, amount: float = 1.0) -> None:
    """Add to a figure of the batch that this worker is at. Safe from any thread."""
    with _lock:
        _counts[name] += amount


def take_counts() -> dict[str, float]:
    """What was counted since the last call, by name; begins again at 0."""
    with _lock:
        counts = dict(_counts)
        _counts.clear()
    return counts
