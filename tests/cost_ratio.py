"""Ratios of CPU time within one process, which say the same on a busy machine as on a quiet one."""

import time
from collections.abc import Callable
from dataclasses import dataclass

WORSE = 4 / 3
"""A guard fails where a ratio has grown by a third."""
MIN_PAIRS = 3
MAX_PAIRS = 9


@dataclass(frozen=True)
class CostRatio:
    """CPU seconds of a way to do something and of another, the least of several pairs of measurements each."""

    way_s: float
    other_s: float
    pairs: int

    @property
    def value(self) -> float:
        """The first as a multiple of the second."""
        return self.way_s / self.other_s


def cost_ratio(way: Callable[[], object], other: Callable[[], object], *, enough: float) -> CostRatio:
    """Measure both in turn, three times at least, and on until the ratio is small enough, or nine times.

    Work of others on the same cores only ever adds to the CPU time of one, by cold caches and a shared core. So the
    least of several is the nearest to the truth, and the more there are the nearer it is.

    Args:
        way: whose cost is judged; its first call, which may import and load, is not counted.
        other: what it is compared with, likewise.
        enough: the ratio at which no more pairs are needed.
    """
    way(), other()
    least = [float("inf"), float("inf")]
    pairs = 0
    while pairs < MIN_PAIRS or (pairs < MAX_PAIRS and least[0] / least[1] > enough):
        for index, each in enumerate((way, other)):
            began = time.process_time()
            each()
            least[index] = min(least[index], time.process_time() - began)
        pairs += 1
    return CostRatio(least[0], least[1], pairs)
