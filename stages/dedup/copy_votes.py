"""Votes of pictures for pairs of clips that may be copies, and the pairs that have most of them."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.copy_views import STORED_WINDOWS, WINDOWS
from stages.dedup.copy_windows import Placement

FAINT_WEIGHT = 1000.0
FAINT_PAIRS = 8
"""Pairs of less weight, see `Votes`, of which for each new clip so many are compared, those with the most."""
LEAST_WEIGHT = 50.0
"""Among very many clips, pairs of less weight are not compared: of 4,575 recorded pairs of copies nine have less, of
pairs of different clips that are found 38 %, and the more clips there are, the more."""
VOTES_AT_ONCE = 1 << 22
"""Votes from which on those of the same clips and windows are added up."""
VOTES_SCHEMA = pa.schema(
    [("left", pa.int64()), ("right", pa.int64()), ("windows", pa.int64()), ("weight", pa.float64())]
)
PLACEMENTS_MAX = 3
"""Of a pair of clips that are tried, the likeliest."""


class Votes:
    """Sums of weights by pair of clips and pair of views."""

    def __init__(self) -> None:
        self._tables = [VOTES_SCHEMA.empty_table()]
        self._num_rows = 0

    def add(
        self, left: NDArray[np.int64], right: NDArray[np.int64], weight: NDArray[np.float64], view: int, among: int
    ) -> None:
        """Add votes for pairs of different clips: `view` of `WINDOWS` left, `among` of `STORED_WINDOWS` right."""
        is_swapped = left > right
        codes = (is_swapped * len(WINDOWS) + view) * len(STORED_WINDOWS) + among
        columns = [np.minimum(left, right), np.maximum(left, right), codes, weight]
        self._tables.append(pa.table([column[left != right] for column in columns], schema=VOTES_SCHEMA))
        self._num_rows += len(self._tables[-1])
        if self._num_rows > VOTES_AT_ONCE:
            self._tables = [self.table()]
            self._num_rows = 0

    def table(self) -> pa.Table:
        """All of them."""
        return pa.table([*_summed(pa.concat_tables(self._tables))], schema=VOTES_SCHEMA)


def best_candidates(found: Sequence[pa.Table]) -> pa.Table:
    """Of each pair of clips, the pairs of views with the most weight, see `PLACEMENTS_MAX`.

    Args:
        found: ``left``, ``right``, ``windows``, ``weight``; entries with the same first three count together. What
            several searches for different clips found, gives what one for all of them finds.
    """
    left, right, windows, weight = _summed(pa.concat_tables(found))
    order = np.lexsort((windows, -weight, right, left))
    pairs = np.stack([left, right])[:, order]
    starts = np.flatnonzero((np.diff(pairs, prepend=-1) != 0).any(axis=0))
    chosen = order[np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order)))) < PLACEMENTS_MAX]
    columns = {"left": left, "right": right, "windows": windows, "weight": weight}
    return pa.table({name: values[chosen] for name, values in columns.items()})


def likely_candidates(found: pa.Table, new: NDArray[np.int64], *, least: float = 0.0) -> pa.Table:
    """Of pairs that little speaks for, the `FAINT_PAIRS` likeliest of each new clip; all others.

    Among very many clips each has a picture that is a little like one of many others: without a limit, as many pairs
    would be compared as the square of the number of clips.

    Args:
        found: from `best_candidates`.
        new: numbers of the new clips.
        least: weight that a pair must have at least.
    """
    left, right, weight = (found[name].to_numpy() for name in ("left", "right", "weight"))
    begins = np.flatnonzero((np.diff([left, right], prepend=-1) != 0).any(axis=0))
    pairs = np.stack([left[begins], right[begins]])
    most = np.maximum.reduceat(weight, begins) if len(begins) else weight
    faint = np.flatnonzero((most < FAINT_WEIGHT) & (most >= least))
    clip, pair = pairs[:, faint].ravel(), np.tile(faint, 2)
    is_new = np.isin(clip, new)
    clip, pair = clip[is_new], pair[is_new]
    order = np.lexsort((pair, -most[pair], clip))
    starts = np.flatnonzero(np.diff(clip[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    is_likely = most >= FAINT_WEIGHT
    is_likely[pair[order[rank < FAINT_PAIRS]]] = True
    return found.filter(pa.array(np.repeat(is_likely, np.diff(np.append(begins, len(left))))))


def candidate_pairs(found: pa.Table) -> dict[tuple[int, int], list[Placement]]:
    """By pair of clips, the placements to begin with, the best first; of what `best_candidates` gives."""
    pairs: dict[tuple[int, int], list[Placement]] = {}
    for left, right, code in zip(*(found[name].to_pylist() for name in ("left", "right", "windows")), strict=True):
        pairs.setdefault((left, right), []).append(_placement(code))
    return pairs


def _summed(
    votes: pa.Table,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The columns of votes, with those of the same clips and windows added up, by clips and windows.

    Weights are whole numbers, so that sums do not depend on the order.
    """
    left, right, windows, weight = (votes[name].to_numpy() for name in VOTES_SCHEMA.names)
    order = np.lexsort((windows, right, left))
    keys = np.stack([left, right, windows])[:, order]
    starts = np.flatnonzero((np.diff(keys, prepend=-1) != 0).any(axis=0))
    sums = np.add.reduceat(weight[order], starts) if len(starts) else np.empty(0)
    return keys[0, starts], keys[1, starts], keys[2, starts], sums


@lru_cache(maxsize=1024)
def _placement(code: int) -> Placement:
    """Of the clip with the lower number and of the other, see `Votes.add`."""
    code, among = divmod(code, len(STORED_WINDOWS))
    is_swapped, number = divmod(code, len(WINDOWS))
    view, stored = WINDOWS[number], STORED_WINDOWS[among]
    if is_swapped:
        return Placement(stored.window, view.window, view.turn)
    return Placement(view.window, stored.window, view.turn.back())
