"""Quotas: of what neither is a copy nor a duplicate, at most so many clips of each kind. Pure arithmetic.

Clips are admitted one after another, those first that an earlier run kept, then in order of preference; a clip is
admitted where every quota has room for it. So a kept clip stays kept as others come, and one that found no room is
asked for again in the next run, where a larger corpus or quota may have room.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.dedup.arrays import Positions
from stages.params import Quota

NO_VALUE = "none"
"""The class of clips without a value."""


def value_classes(quota: Quota, values: Sequence[Any]) -> list[str]:
    """The class of each value: the value as text, or with `edges` the range that it lies in, as ``2-4``.

    Args:
        quota: whose `edges` divide numbers.
        values: of a column; None where a clip has none.
    """
    if not quota.edges:
        return [NO_VALUE if _is_missing(value) else _text(value) for value in values]
    edges, texts = quota.edges, [repr(edge).removesuffix(".0") for edge in quota.edges]
    names = [f"<{texts[0]}", *(f"{low}-{high}" for low, high in pairwise(texts)), f">={texts[-1]}"]
    return [NO_VALUE if _is_missing(value) else names[bisect_right(edges, value)] for value in values]


def _is_missing(value: Any) -> bool:
    """Also of what is no number, which would be above every edge."""
    return value is None or value != value  # only NaN differs from itself


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def over_quota(
    quotas: Sequence[Quota],
    classes: Mapping[str, Sequence[str]],
    candidates: Positions,
    earlier_kept: NDArray[np.bool_],
) -> dict[int, str]:
    """Which clips find no room: the quota's `by`, by position.

    Args:
        quotas: that a clip must all have room in.
        classes: for each quota, by its `by`, the class of every clip.
        candidates: positions of the clips that are neither copies nor duplicates, best first.
        earlier_kept: bool ``[N]``, whether an earlier run kept the clip.
    """
    most = {quota.by: quota.most(len(candidates)) for quota in quotas}
    taken: dict[str, Counter[str]] = {quota.by: Counter() for quota in quotas}
    refused: dict[int, str] = {}
    is_earlier = earlier_kept[candidates]
    order: list[int] = [*candidates[is_earlier].tolist(), *candidates[~is_earlier].tolist()]
    for position in order:
        kinds = {by: classes[by][position] for by in taken}
        full = next((by for by, kind in kinds.items() if taken[by][kind] >= most[by]), None)
        if full is not None and not earlier_kept[position]:
            refused[position] = full
            continue
        for by, kind in kinds.items():
            taken[by][kind] += 1
    return refused
