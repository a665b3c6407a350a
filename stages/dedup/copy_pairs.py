"""The copies among the clips of a root: what is searched, one search after another."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.dedup.arrays import Positions
from stages.dedup.copy_candidates import StoredLandmarks
from stages.dedup.copy_columns import COPY_COLUMNS
from stages.dedup.copy_index import CopyIndex
from stages.dedup.copy_lists import lists_of
from stages.dedup.copy_parts import remove_landmarks
from stages.dedup.copy_search import CandidateSearch, LandmarkSearch, comparison_search, rows_by_video
from stages.dedup.copy_votes import LEAST_WEIGHT, likely_candidates
from stages.dedup.searches import Deciding
from stages.storage import Storage


class CopyPairs(NamedTuple):
    """What was found.

    Attributes:
        pairs: see `stages.dedup.copy_search.PAIRS_SCHEMA`, by position of clips.
        num_candidates: pairs of clips that were compared.
    """

    pairs: pa.Table
    num_candidates: int


def copy_pairs(
    storage: Storage,
    rows: pa.Table,
    new: Positions,
    known: Positions,
    *,
    overlap_min: float,
    run_token: str = "",
) -> Deciding[CopyPairs]:
    """Copies among the new clips, and between these and the known ones.

    Args:
        storage: of the root.
        rows: `COPY_COLUMNS` of all clips, by position.
        new: positions of clips with a ``signals_key``, at least one.
        known: others, likewise.
        overlap_min: least share of the shorter clip that two must have in common.
        run_token: of the run; what it writes for its workers is its own.
    """
    rows = rows.select(COPY_COLUMNS)
    numbers = np.sort(np.concatenate([new, known]))
    index = CopyIndex(storage, rows.take(pa.array(numbers)))
    if len(index.missing):
        found = yield LandmarkSearch(rows_by_video(rows, numbers[index.missing])[0])
        index.add(found)
    landmarks = index.landmarks(numbers)
    looked_for, positions = rows_by_video(rows, new)
    search = CandidateSearch(
        storage.root, looked_for, positions, landmarks.hashes[..., 0].size, len(new), run_token=run_token
    )
    lists = lists_of(storage, index.keys, numbers, landmarks) if search.is_large else None
    del index  # it holds the hashes too
    stored = StoredLandmarks(landmarks, lists)
    found = yield replace(search, stored=stored)
    remove_landmarks(storage, stored, run_token)
    found = likely_candidates(found, new, least=LEAST_WEIGHT if search.is_large else 0.0)
    pairs = yield comparison_search(found, rows, overlap_min)
    pairs_of_clips = len(found.select(["left", "right"]).group_by(["left", "right"]).aggregate([]))
    return CopyPairs(pairs, pairs_of_clips)
