"""Histograms of the scores of all clips, with the thresholds."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator_dagster.printable_text import printable

BINS = 28
_LOG_SCALE_RATIO = 50
"""A score whose largest value exceeds so many times its low values has a logarithmic scale."""
_MAX_NAME_CHARS = 80
_BOUND = re.compile(r"_(min|max)(?=[_.]|$)")
_UNIT = re.compile(r"_(s|px)$")

_SCORES_OF_OTHER_NAMES = {"damaged_max": "damage", "sound_damaged_max": "damage_sound"}
"""Scores by threshold, where a parameter of ours is not called after the score that it bounds."""

Reals = NDArray[np.float64]


def score_histograms(table: pa.Table) -> list[dict[str, Any]]:
    """A histogram for each score of ``filtered_clips``, in the order of the filters: edges, counts, thresholds."""
    is_kept = np.array([status == "kept" for status in table["status"].to_pylist()], bool)
    thresholds = {
        name: sorted(set(values.tolist())) for name, (_, values) in _values_by_name(table["thresholds"]).items()
    }
    scores = _values_by_name(table["scores"])
    histograms = []
    for name, (rows, values) in scores.items():
        limits = [
            _threshold_line(each, thresholds[each]) for each in thresholds if score_of_threshold(each, scores) == name
        ]
        edges = bin_edges(values, [value for limit in limits for value in limit["values"]])
        kept, lost = (_counts(values[is_kept[rows] == side], edges) for side in (True, False))
        shown = {"name": printable(name, _MAX_NAME_CHARS), "edges": edges.tolist(), "kept": kept, "lost": lost}
        histograms.append(
            {**shown, "limits": limits, "is_log": bool(edges[0] > 0 and edges[-1] / edges[0] > _LOG_SCALE_RATIO)}
        )
    return histograms


def score_of_threshold(threshold: str, scores: Mapping[str, Any]) -> str | None:
    """The score that a threshold bounds, matched by name: ``width_min_px`` bounds ``size_width_px``.

    Of a question the threshold ``ask_min.dog`` bounds ``ask_dog``. Rows hold both only by name; the filter's class,
    which may be a user's own, is not imported here.
    """
    if _SCORES_OF_OTHER_NAMES.get(threshold) in scores:
        return _SCORES_OF_OTHER_NAMES[threshold]
    kind, _, question = threshold.partition(".")
    name_without_bound = "_".join(filter(None, (_BOUND.sub("", kind), question)))
    candidates = (name_without_bound, _UNIT.sub("", name_without_bound))
    exact = (name for name in scores if name in candidates)
    ending = (name for name in scores if name.endswith(tuple(f"_{each}" for each in candidates)))
    return next(exact, None) or next(ending, None)


def bin_edges(values: Reals, limits: list[float]) -> Reals:
    """``BINS`` + 1 rising edges that cover all values, and each limit that is not far from them.

    Of a score that spans orders of magnitude the edges are logarithmic; values below the first edge, such as 0, count
    in the first bin.
    """
    low, high = float(values.min()), float(values.max())
    positive = values[values > 0]
    near = [limit for limit in limits if low - (high - low) <= limit <= high + (high - low)]
    if (
        low >= 0
        and len(positive)
        and high > _LOG_SCALE_RATIO * float(np.median(positive[positive <= np.median(positive)]))
    ):
        floor = max(float(positive.min()), high / 1e6)
        near = [limit for limit in limits if floor / 10 <= limit <= high * 10]
        return np.geomspace(min([floor, *near]), max([high, *near]), BINS + 1)
    low, high = min([low, *near]), max([high, *near])
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _counts(values: Reals, edges: Reals) -> list[int]:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()


def _threshold_line(name: str, values: list[float]) -> dict[str, Any]:
    found = _BOUND.search(name)
    return {"name": printable(name, _MAX_NAME_CHARS), "bound": found[1] if found else "", "values": values}


def _values_by_name(column: pa.ChunkedArray) -> dict[str, tuple[NDArray[np.int64], Reals]]:
    """Of a column of maps, by key: the indices of rows with a finite value, and the values."""
    maps = column.combine_chunks()
    offsets = maps.offsets.to_numpy()
    rows = np.repeat(np.arange(len(maps)), np.diff(offsets))
    keys = maps.keys.slice(offsets[0], len(rows)).to_numpy(False)
    values = maps.items.slice(offsets[0], len(rows)).to_numpy(False).astype(float)
    measured = np.isfinite(values)
    names = dict.fromkeys(keys[measured].tolist())
    taken = {name: measured & (keys == name) for name in names}
    return {name: (rows[mask], values[mask]) for name, mask in taken.items()}
