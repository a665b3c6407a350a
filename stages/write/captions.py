"""Captioned windows of a clip, as they are joined to rows of the dataset."""

import pyarrow as pa

from stages.tasks import Row

CAPTION_COLUMNS = ("clip_id", "window_index", "window_start_frame", "window_end_frame", "caption", "model", "prompt_id")
WINDOW_TYPE = pa.struct(
    [
        pa.field("start_frame", pa.int64()),
        pa.field("end_frame", pa.int64()),
        pa.field("caption", pa.string()),
        pa.field("model", pa.string()),
        pa.field("prompt_id", pa.string()),
    ]
)
"""Arrow type of a window. Frames are counted from the start of the clip; `end_frame` is exclusive."""


def windows_by_clip(captions: pa.Table) -> dict[str, list[Row]]:
    """Captioned windows by clip id, in order, as values of `WINDOW_TYPE`."""
    found: dict[str, list[Row]] = {}
    ordered = captions.sort_by([("clip_id", "ascending"), ("window_index", "ascending")])
    for row in ordered.select(list(CAPTION_COLUMNS)).to_pylist():
        found.setdefault(row["clip_id"], []).append(
            {
                "start_frame": row["window_start_frame"],
                "end_frame": row["window_end_frame"],
                "caption": row["caption"],
                "model": row["model"],
                "prompt_id": row["prompt_id"],
            }
        )
    return found
