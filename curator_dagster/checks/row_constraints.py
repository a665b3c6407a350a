"""Constraints on the rows of each asset beside column types, each as an expression that is true of a violation."""

from collections.abc import Mapping
from functools import cache

import pyarrow.compute as pc

from stages.schemas import STATUSES

Constraints = Mapping[str, pc.Expression]
"""Expression by description. It is true of a row that violates the constraint; a comparison with null is not true."""

UNIQUE_COLUMNS: dict[str, tuple[str, ...]] = {
    "videos": ("video_id",),
    "captions": ("clip_id", "window_index", "caption_index"),
    **dict.fromkeys(("clips", "filtered_clips", "embeddings", "unique_clips", "dataset"), ("clip_id",)),
}
"""By asset, the columns that identify a row; not checked where one of them is null."""


@cache
def row_constraints() -> dict[str, Constraints]:
    """Constraints by asset. Made on first use: the first comparison of a field imports pandas, a third of a second."""
    return {
        "videos": {**_row(), **_size(), "num_frames is above 0": pc.field("num_frames") <= 0},
        "clips": {
            **_span(),
            **_size(),
            **_not_null(_kept(), "frames_key", "video_frames"),
            "a span lies inside its video": pc.field("end_frame") > pc.field("video_frames"),
        },
        "filtered_clips": {**_span(), **_size(), **_not_null(_kept(), "frames_key", "scores", "thresholds")},
        "embeddings": {**_clip(), **_not_null(_kept(), "model", "embedding")},
        "captions": {
            **_clip(),
            **_not_null(_kept(), "window_index", "window_start_frame", "window_end_frame", "caption", "model"),
            "0 <= window_start_frame < window_end_frame": (pc.field("window_start_frame") < 0)
            | (pc.field("window_start_frame") >= pc.field("window_end_frame")),
        },
        "unique_clips": {
            **_clip(),
            **_not_null(_kept(), "group_id", "group_size", "model", "embedding_key"),
            "group_size is at least 1": pc.field("group_size") < 1,
            "similarity is a cosine": (pc.field("similarity") > 1.001) | (pc.field("similarity") < -1.001),
        },
        "dataset": {
            **_span(),
            **_not_null(_kept(), "path", "metadata_path", "bytes", "clip_codec", "cut", "num_frames", "duration_s"),
            "bytes is above 0": pc.field("bytes") <= 0,
            "num_frames is that of the span": pc.field("num_frames") != pc.field("end_frame") - pc.field("start_frame"),
        },
    }


def _kept() -> pc.Expression:
    return pc.field("status") == "kept"


def _has_clip() -> pc.Expression:
    return pc.field("clip_id").is_valid()


def _not_null(rows: pc.Expression, *columns: str) -> Constraints:
    """Constraints that the columns are not null in these rows."""
    return {f"{name} is not null": rows & pc.field(name).is_null() for name in columns}


def _row() -> Constraints:
    return {
        **_not_null(pc.scalar(value=True), "partition", "video_id", "uri", "row_key", "decision_key"),
        f"status is one of {', '.join(STATUSES)}": ~pc.field("status").isin(list(STATUSES)),
        "reason is null where kept, and only there": pc.field("reason").is_valid() == _kept(),
    }


def _clip() -> Constraints:
    return {**_row(), "a kept row has a clip_id": _kept() & ~_has_clip()}


def _span() -> Constraints:
    frames = (pc.field("start_frame") < 0) | (pc.field("start_frame") >= pc.field("end_frame"))
    return {
        **_clip(),
        **_not_null(_has_clip(), "start_pts", "end_pts", "time_base", "start_s", "end_s", "start_frame", "end_frame"),
        "start_pts is below end_pts": pc.field("start_pts") >= pc.field("end_pts"),
        "start_s is below end_s": pc.field("start_s") >= pc.field("end_s"),
        "0 <= start_frame < end_frame": frames,
    }


def _size() -> Constraints:
    return {
        **_not_null(_kept(), "size_bytes", "width", "height", "codec"),
        "width and height are above 0": (pc.field("width") <= 0) | (pc.field("height") <= 0),
    }
