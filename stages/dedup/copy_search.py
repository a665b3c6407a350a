"""The searches for copies among the clips of a root, which any worker can do a part of.

    LandmarkSearch     hashes of clips that the index lacks                              parts by clips
    CandidateSearch    pairs of clips that have pictures with nearly equal hashes        parts by new clips
    ComparisonSearch   of these pairs, those that are copies                             parts by pairs

What is found does not depend on the parts. A part names by position, and carries the rows of the clips that it reads;
hashes that all parts look among stand in a file, see `stages.dedup.copy_parts`.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from stages import heartbeat
from stages.dedup.arrays import Positions
from stages.dedup.copies import compare_clips
from stages.dedup.copy_candidates import LookedFor, StoredLandmarks, are_many, find_candidates
from stages.dedup.copy_columns import COPY_COLUMNS
from stages.dedup.copy_hashes import looked_for
from stages.dedup.copy_index import landmark_rows
from stages.dedup.copy_parts import PictureSource, save_landmarks
from stages.dedup.copy_store import CopyStore
from stages.dedup.copy_views import STORED_WINDOWS, WINDOWS, View
from stages.dedup.copy_votes import best_candidates, candidate_pairs
from stages.dedup.searches import PICTURES, SearchedIn
from stages.storage import Storage

WINDOWED_CLIPS = 100_000
"""New clips up to which parts of their pictures are looked for too; of more, whole pictures only."""
CLIPS_AT_ONCE = 500
"""Clips whose hashes through all windows are in memory together."""
_SECOND = 4e10
"""Numbers that are multiplied in about a second of a core, in which the cost of other searches is told."""
_HASHED_S, _HASHED_WINDOW_S = 1e-3, 1e-5
"""Seconds that a clip takes to be read, and for a window."""
_COMPARED_HASHES = 6e8
_LOOKED_FOR_S = 1e-5
"""Hashes compared in a second; seconds that a hash takes where not all are."""
_COMPARED_S = 0.03
"""Seconds that a pair of clips takes."""

PAIRS_SCHEMA = pa.schema(
    [
        ("left", pa.int64()),
        ("right", pa.int64()),
        ("likeness", pa.float64()),
        ("rate", pa.float64()),
        ("offset_s", pa.float64()),
    ]
)


@dataclass(frozen=True)
class LandmarkSearch:
    """Hashes clips through `STORED_WINDOWS`: ``key`` and ``hashes`` of each.

    Attributes:
        rows: `COPY_COLUMNS` of the clips, those of one video together.
    """

    searched_in: ClassVar[SearchedIn] = PICTURES

    rows: pa.Table

    def cost(self, source: PictureSource) -> float:
        """See `Search.cost`."""
        return _SECOND * len(self.rows) * (_HASHED_S + _HASHED_WINDOW_S * len(STORED_WINDOWS))

    def parts(self, count: int) -> Sequence["LandmarkSearch"]:
        """The search, for some of the clips each."""
        return [LandmarkSearch(_slice(self.rows, part)) for part in _split(len(self.rows), count)]

    def run(self, source: PictureSource) -> pa.Table:
        """Rows of the index of hashes."""
        return landmark_rows(CopyStore(source.storage, self.rows))

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """The tables one after another."""
        return pa.concat_tables(found)


@dataclass(frozen=True)
class CandidateSearch:
    """Finds pairs of clips that may be copies, see `best_candidates`.

    Attributes:
        root: where parts find what they look among.
        rows: `COPY_COLUMNS` of the new clips, those of one video together.
        positions: int64, of these.
        num_stored: number of hashes to look among.
        num_new: number of new clips of the whole search, where this is a part; it decides how is searched.
        stored: to look among; None in a part.
        path: of the file that holds them, for a part.
        centres: path of the centres of their lists, for a part; empty where there are none.
        run_token: of the run; the file is its own.
    """

    searched_in: ClassVar[SearchedIn] = PICTURES

    root: str
    rows: pa.Table
    positions: Positions
    num_stored: int
    num_new: int
    stored: StoredLandmarks | None = field(default=None, repr=False)
    path: str = ""
    centres: str = ""
    run_token: str = ""

    def cost(self, source: PictureSource) -> float:
        """See `Search.cost`."""
        looked_for = _LOOKED_FOR_S if self.is_large else self.num_stored / _COMPARED_HASHES
        num_windows = len(self._windows)
        of_clip = _HASHED_S + num_windows * (_HASHED_WINDOW_S + _LOOKUPS * looked_for)
        return _SECOND * len(self.rows) * of_clip

    def parts(self, count: int) -> Sequence["CandidateSearch"]:
        """The search, for some of the new clips each; what they look among is written down for them."""
        whole = self if self.stored is None else self._written_down(self.stored)
        return [
            replace(whole, rows=_slice(self.rows, part), positions=self.positions[part])
            for part in _split(len(self.rows), count)
        ]

    def run(self, source: PictureSource) -> pa.Table:
        """Pairs of clips and of windows."""
        stored = self.stored if self.stored is not None else source.landmarks(self.path, self.centres)
        store = CopyStore(source.storage, self.rows)
        found = [
            find_candidates(self._looked_for(store, part), stored, is_large=self.is_large)
            for part in _split(len(self.rows), -(-len(self.rows) // CLIPS_AT_ONCE))
        ]
        return best_candidates(found)

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """The most alike windows of all."""
        return best_candidates(found)

    def _written_down(self, stored: StoredLandmarks) -> "CandidateSearch":
        centres = stored.lists.path if stored.lists is not None else ""
        path = save_landmarks(Storage(self.root), stored, self.run_token)
        return replace(self, stored=None, path=path, centres=centres)

    @property
    def _windows(self) -> tuple[View, ...]:
        return WINDOWS if self.num_new <= WINDOWED_CLIPS else WINDOWS[:1]

    @property
    def is_large(self) -> bool:
        """Not all hashes are compared."""
        return are_many(self.num_new * _PICTURES, len(self._windows), self.num_stored // len(STORED_WINDOWS))

    def _looked_for(self, store: CopyStore, part: slice) -> LookedFor:
        clips = ((int(self.positions[row]), store.clip(row)) for row in range(part.start, part.stop))
        return looked_for({position: clip for position, clip in _beating(clips) if clip is not None}, self._windows)


_PICTURES, _LOOKUPS = 10, 8
"""Of a clip that are looked for, about; times that one is in each view: four pictures among two windows."""


@dataclass(frozen=True)
class ComparisonSearch:
    """Compares pairs of clips: of those that are copies, `PAIRS_SCHEMA`.

    Attributes:
        found: pairs of clips, see `best_candidates`, those of one left clip together.
        rows: `COPY_COLUMNS` of all of these clips.
        positions: int64, of these.
        overlap_min: least share of the shorter clip that two must have in common.
    """

    searched_in: ClassVar[SearchedIn] = PICTURES

    found: pa.Table
    rows: pa.Table
    positions: Positions
    overlap_min: float

    def cost(self, source: PictureSource) -> float:
        """See `Search.cost`."""
        return _SECOND * _COMPARED_S * len(self.found)

    def parts(self, count: int) -> Sequence["ComparisonSearch"]:
        """The search, for some of the pairs each: those of one clip stay together."""
        begins = np.flatnonzero(np.diff(self.found["left"].to_numpy(), prepend=-1))
        wanted = [part.start for part in _split(len(self.found), count)]
        edges = np.unique([*begins[np.minimum(np.searchsorted(begins, wanted), len(begins) - 1)], len(self.found)])
        bounds = itertools.pairwise(edges.tolist())
        return [self._part(self.found.slice(begin, end - begin)) for begin, end in bounds]

    def run(self, source: PictureSource) -> pa.Table:
        """The copies."""
        store = CopyStore(source.storage, self.rows)
        place = {position: row for row, position in enumerate(self.positions.tolist())}
        rows: list[dict[str, float]] = []
        for (left, right), placements in candidate_pairs(self.found).items():
            clips = store.clip(place[left]), store.clip(place[right])
            if clips[0] is not None and clips[1] is not None:
                pair = compare_clips(clips[0], clips[1], placements, overlap_min=self.overlap_min)
                if pair is not None:
                    rows.append({**pair._asdict(), "left": left, "right": right})
            heartbeat.beat()
        return pa.Table.from_pylist(rows, schema=PAIRS_SCHEMA)

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """The tables one after another."""
        return pa.concat_tables(found)

    def _part(self, found: pa.Table) -> "ComparisonSearch":
        wanted = np.flatnonzero(np.isin(self.positions, [*found["left"].to_numpy(), *found["right"].to_numpy()]))
        return ComparisonSearch(found, self.rows.take(pa.array(wanted)), self.positions[wanted], self.overlap_min)


def comparison_search(found: pa.Table, rows: pa.Table, overlap_min: float) -> ComparisonSearch:
    """The search that compares candidates, those whose left clips are of one video one after another.

    Args:
        found: see `best_candidates`.
        rows: `COPY_COLUMNS` of all clips.
        overlap_min: see `ComparisonSearch`.
    """
    left, right = (found[name].to_numpy() for name in ("left", "right"))
    chosen, positions = rows_by_video(rows, np.unique(np.concatenate([left, right])))
    place = np.argsort(positions)[np.searchsorted(np.sort(positions), left)]
    order = np.argsort(place, kind="stable")
    return ComparisonSearch(found.take(pa.array(order)), chosen, positions, overlap_min)


def rows_by_video(rows: pa.Table, positions: Positions) -> tuple[pa.Table, Positions]:
    """`COPY_COLUMNS` of clips, those of one video together and in its order, and their positions."""
    chosen = rows.select(COPY_COLUMNS).take(pa.array(positions)).append_column("position", pa.array(positions))
    names = ("partition", "video_id", "signals_key", "start_frame", "end_frame", "position")
    ordered = chosen.sort_by([(name, "ascending") for name in names])
    return ordered.drop_columns("position").combine_chunks(), ordered["position"].to_numpy()


def _split(length: int, count: int) -> list[slice]:
    """At most `count` slices of about one size, none of which is empty."""
    bounds = np.unique(np.linspace(0, length, max(1, count) + 1).astype(np.int64)).tolist()
    return [slice(begin, end) for begin, end in itertools.pairwise(bounds)]


def _slice(rows: pa.Table, part: slice) -> pa.Table:
    """Some rows, without the memory of the others."""
    return rows.take(pa.array(np.arange(part.start, part.stop)))


def _beating(clips: Iterator) -> Iterator:
    for each in clips:
        heartbeat.beat()
        yield each
