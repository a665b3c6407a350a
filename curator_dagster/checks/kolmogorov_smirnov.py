"""Two-sample Kolmogorov-Smirnov test on sketches of a few hundred values.

The two-sample Kolmogorov-Smirnov statistic is the largest vertical distance between two empirical distribution
functions: 0 where they agree, 1 where they do not overlap. It needs no bins and no assumption on the form of a score
(Smirnov, Annals of Mathematical Statistics 19, 1948).

A sample from one distribution rarely exceeds

    c(a) sqrt(1/n + 1/m),  c(a) = sqrt(-ln(a / 2) / 2)

with a chance of a, for n and m independent values. Clips of one video are not independent, so n and m count videos:
where the values of a cluster are alike, that is the effective sample size (Kish, Survey Sampling, 1965).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SKETCH_VALUES = 256
"""Values of a sketch at most. Its distribution function is off by half of 1/256 at most."""


@dataclass(frozen=True)
class Sketch:
    """The distribution of one score in one partition.

    Attributes:
        values: evenly spaced quantiles in ascending order; all values where they are few.
        count: number of values that it represents.
        videos: number of videos that they come from.
    """

    values: list[float]
    count: int
    videos: int


def sketch_of(values: NDArray[np.float64], videos: int) -> Sketch:
    """A sketch of finite values, float64 ``[N]``."""
    ordered = np.sort(values)
    if len(ordered) > SKETCH_VALUES:
        middles = (np.arange(SKETCH_VALUES) + 0.5) / SKETCH_VALUES * len(ordered)
        ordered = ordered[middles.astype(np.int64)]
    return Sketch(ordered.tolist(), len(values), videos)


def ks_statistic(sketch: Sketch, others: Sequence[Sketch]) -> float:
    """Largest distance between the distribution of a sketch and that of all others together, 0 to 1."""
    ours = np.asarray(sketch.values)
    theirs = np.concatenate([other.values for other in others])
    weights = np.concatenate([np.full(len(other.values), other.count / len(other.values)) for other in others])
    order = np.argsort(theirs, kind="stable")
    theirs, cumulated = theirs[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    points = np.union1d(ours, theirs)
    our_share = np.searchsorted(ours, points, side="right") / len(ours)
    their_share = cumulated[np.searchsorted(theirs, points, side="right")] / cumulated[-1]
    return float(np.max(np.abs(our_share - their_share)))


def ks_critical_value(n: int, m: int, significance: float) -> float:
    """What the statistic of two samples of one distribution exceeds with a chance of `significance` at most."""
    return math.sqrt(-math.log(significance / 2) / 2) * math.sqrt(1 / n + 1 / m)
