"""How the scores of all clips are spread, and which threshold stands where."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator_dagster.text import visible

BINS = 28
_MANY_TIMES = 50
"""A score whose large values are so many times its middle is drawn on a logarithmic scale."""
_LONGEST_NAME = 80
_BOUND = re.compile(r"_(min|max)(?=_|$)")
_UNIT = re.compile(r"_(s|px)$")

Reals = NDArray[np.float64]


def histograms(table: pa.Table) -> list[dict[str, Any]]:
    """One a score of ``filtered_clips``, in the order in which the filters ran: bins, clips in each by fate, limits."""
    is_kept = np.array([status == "kept" for status in table["status"].to_pylist()], bool)
    thresholds = {name: sorted(set(values.tolist())) for name, (_, values) in _by_name(table["thresholds"]).items()}
    scores = _by_name(table["scores"])
    drawn = []
    for name, (rows, values) in scores.items():
        limits = [_limit(each, thresholds[each]) for each in thresholds if score_of(each, scores) == name]
        edges = bin_edges(values, [value for limit in limits for value in limit["values"]])
        kept, lost = (_counts(values[is_kept[rows] == side], edges) for side in (True, False))
        shown = {"name": visible(name, _LONGEST_NAME), "edges": edges.tolist(), "kept": kept, "lost": lost}
        drawn.append({**shown, "limits": limits, "is_log": bool(edges[0] > 0 and edges[-1] / edges[0] > _MANY_TIMES)})
    return drawn


def score_of(threshold: str, scores: Mapping[str, Any]) -> str | None:
    """The score that a threshold bounds, told by their names: ``width_min_px`` bounds ``size_width_px``.

    A row holds both by name, and what joins them stands in the filter's class, which may be a user's own.
    """
    bare = _BOUND.sub("", threshold)
    called = (bare, _UNIT.sub("", bare))
    exact = (name for name in scores if name in called)
    ending = (name for name in scores if name.endswith(tuple(f"_{each}" for each in called)))
    return next(exact, None) or next(ending, None)


def bin_edges(values: Reals, limits: list[float]) -> Reals:
    """``BINS`` + 1 rising edges around all values, and around each limit that is not far away from them.

    Of a score that runs over orders of magnitude they stand at equal ratios; what lies below the first, such as 0,
    counts in the first bin.
    """
    low, high = float(values.min()), float(values.max())
    positive = values[values > 0]
    near = [limit for limit in limits if low - (high - low) <= limit <= high + (high - low)]
    if low >= 0 and len(positive) and high > _MANY_TIMES * float(np.median(positive[positive <= np.median(positive)])):
        floor = max(float(positive.min()), high / 1e6)
        near = [limit for limit in limits if floor / 10 <= limit <= high * 10]
        return np.geomspace(min([floor, *near]), max([high, *near]), BINS + 1)
    low, high = min([low, *near]), max([high, *near])
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _counts(values: Reals, edges: Reals) -> list[int]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()


def _limit(name: str, values: list[float]) -> dict[str, Any]:
    found = _BOUND.search(name)
    return {"name": visible(name, _LONGEST_NAME), "bound": found[1] if found else "", "values": values}


def _by_name(column: pa.ChunkedArray) -> dict[str, tuple[NDArray[np.int64], Reals]]:
    """Of a column of maps: for each key the rows that measured it, and what they hold."""
    maps = column.combine_chunks()
    offsets = maps.offsets.to_numpy()
    rows = np.repeat(np.arange(len(maps)), np.diff(offsets))
    keys = maps.keys.slice(offsets[0], len(rows)).to_numpy(False)
    values = maps.items.slice(offsets[0], len(rows)).to_numpy(False).astype(float)
    measured = np.isfinite(values)
    names = dict.fromkeys(keys[measured].tolist())
    taken = {name: measured & (keys == name) for name in names}
    return {name: (rows[mask], values[mask]) for name, mask in taken.items()}
