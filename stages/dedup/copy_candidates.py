"""Which clips may be copies of which: some of their pictures have nearly the same hash.

Hashes are those of `stages.dedup.copy_views`. Each that is found is a vote for a pair, see `stages.dedup.copy_votes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import heartbeat
from stages.dedup.copy_hash_index import Centres, HashIndex, centres_of
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_lists import HashLists
from stages.dedup.copy_views import HASH_BYTES, MORE_WINDOWS, STORED_WINDOWS, WINDOWS, View
from stages.dedup.copy_votes import Votes, best_candidates, candidate_pairs, likely_candidates
from stages.dedup.copy_windows import PARTS, WHOLE, Placement

HASH_BITS_MAX = 84
"""Largest number of bits in which two pictures of a candidate differ; unrelated ones differ in about 128."""
QUALITY_MIN = 10
"""Pictures of less show too little to be told apart by."""
LANDMARKS_MAX = 12
LANDMARK_STEP_S = 0.5
"""Pictures of a clip that are looked for: so far apart, and at most so many."""
VIEWED_OF, VIEWED_MIN = 3, 3
"""Of these, one of so many is looked for turned and through windows, and at least so many of a clip."""
VIEWED_SHARE = 0.5
"""Of the lists that are looked at for a whole picture, where not all hashes are compared: a part is looked for through
windows that overlap, and in several pictures."""
EXACT_COMPARISONS = 5e9
"""Comparisons of hashes up to which every one is compared with every other."""
QUERY_BATCH = 2048
"""Hashes of one search."""


@dataclass(frozen=True)
class LookedFor:
    """Hashes of pictures that are looked for.

    Attributes:
        whole: of all pictures, in the first of `WINDOWS`.
        viewed: of some pictures of each clip, see `viewed_indices`, in those that follow; maybe in none.
    """

    whole: Landmarks
    viewed: Landmarks

    @property
    def num_views(self) -> int:
        """Of `WINDOWS`, the first so many are looked for."""
        return 1 + self.viewed.hashes.shape[1]

    def of(self, view: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Clips and hashes ``[N, 32]`` of the pictures that are looked for in a view."""
        landmarks, column = (self.viewed, view - 1) if view else (self.whole, 0)
        return landmarks.clip, landmarks.hashes[:, column]


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


def viewed_indices(count: int) -> NDArray[np.int64]:
    """Of so many pictures of a clip, those that are looked for other than whole: one of `VIEWED_OF`.

    A part that is found in one picture of a clip is found in the next ones too.
    """
    wanted = min(max(-(-count // VIEWED_OF), VIEWED_MIN), count)
    return np.arange(wanted) * count // max(1, wanted)


class StoredLandmarks:
    """Hashes to look among, with an index of each window.

    Args:
        landmarks: of `STORED_WINDOWS`.
        lists: of their hashes, where these are known; else they are found where not all hashes are compared.
    """

    def __init__(self, landmarks: Landmarks, lists: HashLists | None = None) -> None:
        self.landmarks = landmarks
        self.lists = lists
        self._indexes: dict[tuple[int, bool], faiss.IndexBinary | HashIndex] = {}

    def index(self, among: int, *, is_large: bool) -> "faiss.IndexBinary | HashIndex":
        """The index of one of the windows; all hashes are compared where it is not large."""
        if (among, is_large) not in self._indexes:
            hashes = self.landmarks.hashes[:, among]
            self._indexes[among, is_large] = self._lists_of(hashes, among) if is_large else _flat(hashes)
        return self._indexes[among, is_large]

    def _lists_of(self, hashes: NDArray[np.uint8], among: int) -> HashIndex:
        if self.lists is not None:
            return HashIndex(hashes, self.lists.centres[among], self.lists.numbers[:, among])
        centres = Centres(centres_of(hashes))
        return HashIndex(hashes, centres, centres.nearest(hashes))


def candidates(new: LookedFor, stored: Landmarks) -> dict[tuple[int, int], list[Placement]]:
    """Pairs of clips that may be copies, the lower number first, and the placements under which they are most alike.

    Args:
        new: what is looked for.
        stored: of `STORED_WINDOWS`; may hold the new clips too.
    """
    is_large = are_many(len(new.whole.hashes), new.num_views, len(stored.hashes))
    found = find_candidates(new, StoredLandmarks(stored), is_large=is_large)
    return candidate_pairs(likely_candidates(found, np.unique(new.whole.clip)))


def find_candidates(new: LookedFor, stored: StoredLandmarks, *, is_large: bool) -> pa.Table:
    """Pairs of clips that may be copies, ``left`` with the lower number, once or a few times, see `best_candidates`.

    Args:
        new: what is looked for.
        stored: of `STORED_WINDOWS`; may hold the new clips too.
        is_large: not all hashes are compared.
    """
    votes = Votes()
    for among in range(stored.landmarks.hashes.shape[1]):
        index = stored.index(among, is_large=is_large)
        for view in _looked_for(among, new.num_views):
            clips, hashes = new.of(view)
            for places, columns, bits in _hits(index, hashes, VIEWED_SHARE if view else 1.0):
                weight = np.asarray((HASH_BITS_MAX + 1.0 - bits) ** 2, np.float64)
                votes.add(clips[places], stored.landmarks.clip[columns], weight, view, among)
    return best_candidates([votes.table()])


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


def _flat(hashes: NDArray[np.uint8]) -> faiss.IndexBinary:
    index: faiss.IndexBinary = faiss.IndexBinaryFlat(HASH_BYTES * 8)
    index.add(np.ascontiguousarray(hashes))
    return index


def _hits(
    index: "faiss.IndexBinary | HashIndex", queries: NDArray[np.uint8], share: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of queries, positions in the index, and in how many bits they differ: at most `HASH_BITS_MAX`."""
    for start in range(0, len(queries), QUERY_BATCH):
        part = np.ascontiguousarray(queries[start : start + QUERY_BATCH])
        if isinstance(index, HashIndex):
            bounds, bits, positions = index.range_search(part, HASH_BITS_MAX + 1, share)
        else:
            bounds, bits, positions = index.range_search(part, HASH_BITS_MAX + 1)
        rows = start + np.repeat(np.arange(len(part)), np.diff(bounds.astype(np.int64)))
        heartbeat.beat()
        yield rows, positions.astype(np.int64), bits.astype(np.int64)
