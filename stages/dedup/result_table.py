"""Makes the rows of ``unique_clips`` of what was decided."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stages.dedup.arrow import pc
from stages.dedup.steps import Outcome, Step
from stages.errors import Reason
from stages.schemas import ASSETS


def result_table(rows: pa.Table, outcome: Outcome, steps: Sequence[Step]) -> pa.Table:
    """Rows of unique_clips, one for each clip. The keys are null; the session sets them.

    Args:
        rows: the clips, with the columns of their embeddings that the table takes over.
        outcome: of all steps.
        steps: those that made it.
    """
    removed = ~outcome.kept
    reasons = pa.array([str(step.reason) for step in steps], pa.string())
    ids = rows["clip_id"]
    copies = [index for index, step in enumerate(steps) if step.reason == Reason.COPY]
    is_copy = np.isin(outcome.removed_by, copies) & (outcome.nearest >= 0)
    errors = np.full(len(rows), None, object)
    errors[list(outcome.errors)] = list(outcome.errors.values())
    columns: dict[str, Any] = {
        **{name: rows[name] for name in ("partition", "video_id", "uri", "clip_id", "model")},
        "embedding_key": rows["row_key"],
        "status": pa.array(["kept", "rejected"]).take(pa.array(removed.astype(np.int64))),
        "reason": reasons.take(pa.array(outcome.removed_by.astype(np.int64), mask=~removed)),
        "error": pa.array(errors, pa.string()),
        "group_id": ids.take(pa.array(outcome.group)),
        "group_size": np.bincount(outcome.group, minlength=len(rows))[outcome.group],
        "nearest_clip_id": ids.take(pa.array(outcome.nearest, mask=outcome.nearest < 0)),
        "similarity": pa.array(outcome.similarity, mask=np.isnan(outcome.similarity)),
        "rank": outcome.rank,
        "copy_of": ids.take(pa.array(outcome.nearest, mask=~is_copy)),
        "copy_rate": pa.array(outcome.rate, mask=~is_copy | np.isnan(outcome.rate)),
        "copy_offset_s": pa.array(outcome.offset_s, mask=~is_copy | np.isnan(outcome.offset_s)),
        **outcome.columns,
    }
    schema = ASSETS["unique_clips"].schema
    filled = [columns.get(field.name, pa.nulls(len(rows), field.type)) for field in schema]
    table = pa.table(filled, schema=schema)
    return table.take(pc.sort_indices(table["partition"]))  # who wants one partition reads few row groups
