"""Which clips may be copies of which: some of their pictures have nearly the same hash.

A copy that shows a part of the other's picture has other hashes. So pictures are hashed through windows too: those that
are looked for through many, those that are looked among through few. A part that has any place in a picture of the one
is then the middle of the other, or the whole:

    looked for                       among
    the whole, parts of four sizes   the whole, the middle 80 % and 60 % of each side
    at nine places, parts across
    and along; the whole turned
    parts at more places, wide and   the whole
    high parts
    what a banner leaves             what a banner leaves at the same place
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.copy_hash_index import HashIndex
from stages.dedup.copy_turns import TURNS, UPRIGHT, Turn, turned
from stages.dedup.copy_windows import PARTS, WHOLE, Placement, Window

HASH_BITS_MAX = 84
"""Largest number of bits in which two pictures of a candidate differ; unrelated ones differ in about 128."""
QUALITY_MIN = 10
"""Pictures of less show too little to be told apart by."""
LANDMARKS_MAX = 12
LANDMARK_STEP_S = 0.5
"""Pictures of a clip that are looked for: so far apart, and at most so many."""
VIEWED_OF, VIEWED_MIN = 3, 3
"""Of these, one of so many is looked for turned and through windows, and at least so many of a clip."""
HASH_BYTES = 32
SIDE = 64
"""Side of the picture whose transform is the hash, see `stages.signals.pdq`."""
EXACT_COMPARISONS = 2e10
"""Comparisons of hashes up to which every one is compared with every other."""
FAINT_WEIGHT = 1000.0
FAINT_PAIRS = 8
"""Pairs of less weight, see `_Votes`, of which for each new clip so many are compared, those with the most."""
QUERY_BATCH = 2048
"""Hashes of one search."""
VOTES_AT_ONCE = 1 << 22
"""Votes from which on those of the same clips and windows are added up."""
VOTES_SCHEMA = pa.schema(
    [("left", pa.int64()), ("right", pa.int64()), ("windows", pa.int64()), ("weight", pa.float64())]
)


def _windows() -> tuple[Window, ...]:
    """Whole, then parts of all sizes from 94 % on, in the middle, at the sides and in the corners."""
    places: list[Window] = [WHOLE]
    for size in (0.94, 0.88, 0.81, 0.74):
        places += _parts(size, size, (0.0, 0.5, 1.0))
    for size in (0.88, 0.75, 0.6):
        low, high = (1 - size) / 2, (1 + size) / 2
        places += [Window(0, 1, low, high), Window(low, high, 0, 1)]
    return tuple(places)


def _more_windows() -> tuple[Window, ...]:
    """Parts at places between those, and wide and high ones."""
    known = set(_windows())
    places = [part for size in (0.81, 0.74) for part in _parts(size, size, (0.0, 0.25, 0.5, 0.75, 1.0))]
    places += [part for sides in ((0.95, 0.82), (0.82, 0.95)) for part in _parts(*sides, (0.0, 0.5, 1.0))]
    return tuple(part for part in places if part not in known)


def _parts(high: float, wide: float, places: tuple[float, ...]) -> list[Window]:
    """Parts of a size at shares of the room that it leaves, down and across."""
    return [
        Window(down * (1 - high), down * (1 - high) + high, across * (1 - wide), across * (1 - wide) + wide)
        for down in places
        for across in places
    ]


class View(NamedTuple):
    """How a picture is hashed: turned, then through a window."""

    window: Window
    turn: Turn = UPRIGHT


MORE_WINDOWS = _more_windows()
"""Looked for among whole pictures alone."""
WINDOWS = tuple(View(each) for each in (*_windows(), *MORE_WINDOWS, *PARTS)) + tuple(
    View(WHOLE, turn) for turn in TURNS[1:]
)
"""Of pictures that are looked for; the first is the whole."""
STORED_WINDOWS = tuple(View(each) for each in (WHOLE, Window(0.1, 0.9, 0.1, 0.9), Window(0.2, 0.8, 0.2, 0.8), *PARTS))
"""Of those that they are looked for among. All but `PARTS` lie alike in every turn."""
PLACEMENTS_MAX = 3
"""Of a pair of clips that are tried, the likeliest."""


@dataclass(frozen=True)
class Landmarks:
    """Hashes of some pictures of many clips.

    Attributes:
        clip: int64 ``[N]``, the clip of each picture, by number.
        hashes: uint8 ``[N, V, 32]``, of each of V views.
    """

    clip: NDArray[np.int64]
    hashes: NDArray[np.uint8]


def landmark_indices(seconds: NDArray[np.float64], quality: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The pictures of a clip that are looked for."""
    usable = np.flatnonzero(quality >= QUALITY_MIN)
    chosen: list[int] = []
    for index in usable.tolist():
        if not chosen or seconds[index] - seconds[chosen[-1]] >= LANDMARK_STEP_S - 1e-6:
            chosen.append(index)
    if len(chosen) > LANDMARKS_MAX:
        chosen = [chosen[place] for place in np.linspace(0, len(chosen) - 1, LANDMARKS_MAX).astype(int)]
    return np.array(chosen, np.int64)


def view_hashes(luma: NDArray[np.float32], views: tuple[View, ...]) -> NDArray[np.uint8]:
    """PDQ of small pictures ``[N, S, S]`` in each view, uint8 ``[N, V, 32]``."""
    hashes = np.empty((len(luma), len(views), HASH_BYTES), np.uint8)
    for turn in dict.fromkeys(view.turn for view in views):
        chosen = [number for number, view in enumerate(views) if view.turn == turn]
        hashes[:, chosen] = window_hashes(turned(luma, turn), tuple(views[number].window for number in chosen))
    return hashes


def window_hashes(luma: NDArray[np.float32], windows: tuple[Window, ...]) -> NDArray[np.uint8]:
    """PDQ of small pictures ``[N, S, S]`` through each window, uint8 ``[N, W, 32]``."""
    down, across = _operators(luma.shape[-1], windows)
    bits = np.empty((len(luma), len(windows), HASH_BYTES), np.uint8)
    for number in range(len(windows)):
        flat = (down[number] @ luma @ across[number].T).reshape(len(luma), -1)
        middle = flat.shape[1] // 2 - 1
        median = np.partition(flat, middle, axis=1)[:, middle : middle + 1]
        bits[:, number] = np.packbits((flat > median)[:, ::-1], axis=1)
    return bits


@lru_cache(maxsize=4)
def _operators(size: int, windows: tuple[Window, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each window, the matrices ``[16, S]`` down and across that sample it and transform it."""
    order, place = np.arange(1, 17)[:, None], np.arange(SIDE)[None]
    cosines = np.cos(np.pi / (2 * SIDE) * order * (2 * place + 1)).astype(np.float32)
    enlarge = [
        [cosines @ _enlarging(low, high, size) for low, high in ((w.top, w.bottom), (w.left, w.right))] for w in windows
    ]
    return np.stack([down for down, _ in enlarge]), np.stack([across for _, across in enlarge])


def _enlarging(low: float, high: float, size: int) -> NDArray[np.float32]:
    """Matrix ``[64, S]`` that samples a part of a line of S values at 64 places."""
    places = np.clip((low + (high - low) * (np.arange(SIDE) + 0.5) / SIDE) * size - 0.5, 0, size - 1)
    before = np.minimum(places.astype(int), size - 2)
    matrix = np.zeros((SIDE, size), np.float32)
    matrix[np.arange(SIDE), before] = 1 - (places - before)
    matrix[np.arange(SIDE), before + 1] += (places - before).astype(np.float32)
    return matrix


class StoredLandmarks:
    """Hashes to look among, with an index of each window.

    Args:
        landmarks: of `STORED_WINDOWS`.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        self.landmarks = landmarks
        self._indexes: dict[tuple[int, bool], faiss.IndexBinary | HashIndex] = {}

    @property
    def num_hashes(self) -> int:
        """Of all pictures, through all windows."""
        return self.landmarks.hashes.shape[0] * self.landmarks.hashes.shape[1]

    def index(self, among: int, *, is_large: bool) -> "faiss.IndexBinary | HashIndex":
        """The index of one of the windows; all hashes are compared where it is not large."""
        if (among, is_large) not in self._indexes:
            self._indexes[among, is_large] = _index(self.landmarks.hashes[:, among], is_large=is_large)
        return self._indexes[among, is_large]


def candidates(new: Landmarks, stored: Landmarks) -> dict[tuple[int, int], list[Placement]]:
    """Pairs of clips that may be copies, the lower number first, and the placements under which they are most alike.

    Args:
        new: of `WINDOWS`, or the first of them.
        stored: of `STORED_WINDOWS`; may hold the new clips too.
    """
    among = StoredLandmarks(stored)
    is_large = are_many(len(new.hashes), new.hashes.shape[1], len(stored.hashes))
    found = find_candidates(new, among, is_large=is_large)
    return candidate_pairs(likely_candidates(found, np.unique(new.clip)))


def find_candidates(new: Landmarks, stored: StoredLandmarks, *, is_large: bool) -> pa.Table:
    """Pairs of clips that may be copies, ``left`` with the lower number, once or a few times, see `best_candidates`.

    Args:
        new: of `WINDOWS`, or the first of them.
        stored: of `STORED_WINDOWS`; may hold the new clips too.
        is_large: not all hashes are compared.
    """
    votes = _Votes()
    every, some = np.arange(len(new.clip)), _some_of_each(new.clip)
    for among in range(stored.landmarks.hashes.shape[1]):
        index = stored.index(among, is_large=is_large)
        for view in _looked_for(among, new.hashes.shape[1]):
            looked_for = every if view == 0 else some
            for places, columns, bits in _hits(index, new.hashes[looked_for, view]):
                weight = np.asarray((HASH_BITS_MAX + 1.0 - bits) ** 2, np.float64)
                votes.add(new.clip[looked_for[places]], stored.landmarks.clip[columns], weight, view, among)
    return best_candidates([votes.table()])


def _some_of_each(clip: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pictures that are looked for other than whole: one of `VIEWED_OF` of each clip's.

    A part that is found in one picture of a clip is found in the next ones too.
    """
    starts = np.flatnonzero(np.diff(clip, prepend=-1))
    counts = np.diff(np.append(starts, len(clip)))
    wanted = np.minimum(np.maximum(-(-counts // VIEWED_OF), VIEWED_MIN), counts)
    place = np.arange(int(wanted.sum())) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    return np.repeat(starts, wanted) + place * np.repeat(counts, wanted) // np.repeat(wanted, wanted)


def are_many(new: int, num_views: int, stored: int) -> bool:
    """True where more hashes would be compared than `EXACT_COMPARISONS`.

    Args:
        new: number of pictures that are looked for.
        num_views: of `WINDOWS`, the first so many.
        stored: number of pictures that they are looked for among.
    """
    views = [view for among in range(len(STORED_WINDOWS)) for view in _looked_for(among, num_views)]
    num_pairs = sum(1.0 if view == 0 else 1 / VIEWED_OF for view in views)
    return float(new) * stored * num_pairs > EXACT_COMPARISONS


def _looked_for(among: int, num_views: int) -> list[int]:
    """Which of the first views of `WINDOWS` are looked for among one of `STORED_WINDOWS`."""
    return [view for view in range(num_views) if _are_compared(WINDOWS[view], STORED_WINDOWS[among])]


def _are_compared(view: View, stored: View) -> bool:
    if view.window in PARTS or stored.window in PARTS:
        return view == stored
    return stored.window == WHOLE or view.window not in MORE_WINDOWS


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


def likely_candidates(found: pa.Table, new: NDArray[np.int64]) -> pa.Table:
    """Of pairs that little speaks for, the `FAINT_PAIRS` likeliest of each new clip; all others.

    Among very many clips each has a picture that is a little like one of many others: without a limit, as many pairs
    would be compared as the square of the number of clips.

    Args:
        found: from `best_candidates`.
        new: numbers of the new clips.
    """
    left, right, weight = (found[name].to_numpy() for name in ("left", "right", "weight"))
    begins = np.flatnonzero((np.diff([left, right], prepend=-1) != 0).any(axis=0))
    pairs = np.stack([left[begins], right[begins]])
    most = np.maximum.reduceat(weight, begins) if len(begins) else weight
    faint = np.flatnonzero(most < FAINT_WEIGHT)
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


class _Votes:
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
        votes = pa.table([column[left != right] for column in columns], schema=VOTES_SCHEMA)
        self._tables.append(pa.table([*_summed(votes)], schema=VOTES_SCHEMA))
        self._num_rows += len(self._tables[-1])
        if self._num_rows > VOTES_AT_ONCE:
            self._tables = [self.table()]
            self._num_rows = 0

    def table(self) -> pa.Table:
        """All of them."""
        return pa.table([*_summed(pa.concat_tables(self._tables))], schema=VOTES_SCHEMA)


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
    """Of the clip with the lower number and of the other, see `_Votes.add`."""
    code, among = divmod(code, len(STORED_WINDOWS))
    is_swapped, number = divmod(code, len(WINDOWS))
    view, stored = WINDOWS[number], STORED_WINDOWS[among]
    if is_swapped:
        return Placement(stored.window, view.window, view.turn)
    return Placement(view.window, stored.window, view.turn.back())


def _index(hashes: NDArray[np.uint8], *, is_large: bool) -> "faiss.IndexBinary | HashIndex":
    """All are compared; of very many, those that have a part in common, see `stages.dedup.copy_hash_index`."""
    if is_large:
        return HashIndex(np.ascontiguousarray(hashes))
    index: faiss.IndexBinary = faiss.IndexBinaryFlat(HASH_BYTES * 8)
    index.add(np.ascontiguousarray(hashes))
    return index


def _hits(
    index: "faiss.IndexBinary | HashIndex", queries: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of queries, positions in the index, and in how many bits they differ: at most `HASH_BITS_MAX`."""
    for start in range(0, len(queries), QUERY_BATCH):
        part = np.ascontiguousarray(queries[start : start + QUERY_BATCH])
        bounds, bits, positions = index.range_search(part, HASH_BITS_MAX + 1)
        rows = start + np.repeat(np.arange(len(part)), np.diff(bounds.astype(np.int64)))
        heartbeat.beat()
        yield rows, positions.astype(np.int64), bits.astype(np.int64)
