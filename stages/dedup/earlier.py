"""Reads what an earlier version of the table decided, as far as it still stands."""

import numpy as np
import pyarrow as pa

from stages.dedup.arrow import pc
from stages.dedup.steps import KEPT, UNKNOWN, Outcome
from stages.errors import Reason

EARLIER_COLUMNS = (
    "clip_id",
    "status",
    "reason",
    "group_id",
    "nearest_clip_id",
    "similarity",
    "embedding_key",
    "copy_rate",
    "copy_offset_s",
)


def outcome_from(table: pa.Table, clips: pa.Table, reasons: list[Reason]) -> Outcome:
    """The outcome for clips whose embedding, and whose group's clip's, are unchanged.

    Args:
        table: `EARLIER_COLUMNS` of the earlier version.
        clips: ``clip_id`` and ``row_key`` (of the embedding) of the clips as they are now.
        reasons: of each step.
    """
    outcome = Outcome.unknown(len(clips))
    ids = clips["clip_id"].combine_chunks()
    place = pc.index_in(table["clip_id"], value_set=ids)
    table, place = table.filter(pc.is_valid(place)), place.drop_null().to_numpy()
    unchanged = pc.equal(table["embedding_key"], clips["row_key"].take(pa.array(place)))
    unchanged = unchanged.combine_chunks().fill_null(False)
    table, place = table.filter(unchanged), place[unchanged.to_numpy(zero_copy_only=False)]
    known = table["clip_id"].combine_chunks()
    group, nearest = _places(table["group_id"], known, place), _places(table["nearest_clip_id"], known, place)
    by = np.full(len(table), UNKNOWN, np.int8)
    by[(table["status"].to_numpy() == "kept")] = KEPT
    reason = table["reason"].to_numpy()
    by[reason == str(Reason.OVER_QUOTA)] = KEPT  # by all steps before
    for index, name in enumerate(reasons):
        by[reason == str(name)] = index
    stands = (group >= 0) & (by != UNKNOWN)
    outcome.removed_by[place[stands]] = by[stands]
    outcome.group[place[stands]] = group[stands]
    near = stands & (nearest >= 0)
    outcome.nearest[place[near]] = nearest[near]
    outcome.similarity[place[near]] = table["similarity"].to_numpy()[near]
    outcome.rate[place[near]] = table["copy_rate"].to_numpy()[near]
    outcome.offset_s[place[near]] = table["copy_offset_s"].to_numpy()[near]
    return outcome


def _places(column: pa.ChunkedArray, known: pa.Array, place: np.ndarray) -> np.ndarray:
    """The place of each named clip among all; -1 where it is not known."""
    index = pc.index_in(column, value_set=known).fill_null(-1).to_numpy()
    return np.where(index >= 0, place[np.maximum(index, 0)] if len(place) else -1, -1)
