"""How one score is made of the scores of a clip's pictures."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stages.errors import ParamsError, did_you_mean

_REDUCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "min": lambda values: float(min(values)),
    "max": lambda values: float(max(values)),
    "median": lambda values: float(np.median(values)),
}
_PERCENTILE = re.compile(r"p(100|[0-9]{1,2})")


def reduced(values: Sequence[float], reduction: str) -> float | None:
    """One number of several: ``mean``, ``min``, ``max``, ``median``, or ``p0`` to ``p100``, a percentile.

    None where there is no value.
    """
    if not values:
        return None
    if reduction in _REDUCTIONS:
        return _REDUCTIONS[reduction](values)
    return float(np.percentile(values, int(reduction[1:])))


def parse_reductions(entries: Sequence[str]) -> dict[str, str]:
    """Reductions by score, of entries such as ``exposure=p90``.

    Raises:
        ParamsError: an entry has no such form, names an unknown reduction, or a score for the second time.
    """
    reductions: dict[str, str] = {}
    for entry in entries:
        score, _, reduction = (part.strip() for part in entry.partition("="))
        if not score or not reduction:
            raise ParamsError(f"filter.reduce must hold entries such as 'exposure=p90', got {entry!r}.")
        if reduction not in _REDUCTIONS and not _PERCENTILE.fullmatch(reduction):
            raise ParamsError(
                f"filter.reduce must name {', '.join(_REDUCTIONS)} or a percentile from p0 to p100, got {entry!r}."
                f"{did_you_mean(reduction, _REDUCTIONS)}"
            )
        if score in reductions:
            raise ParamsError(f"filter.reduce must name each score once, got {score!r} twice.")
        reductions[score] = reduction
    return reductions
