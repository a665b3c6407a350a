"""Captioned windows of a clip, as they are joined to rows of the dataset."""

import pyarrow as pa

from stages.tasks import Row

CAPTION_COLUMNS = (
    *("clip_id", "window_index", "window_start_frame", "window_end_frame", "caption", "model", "prompt_id"),
    "caption_index",
)
WINDOW_TYPE = pa.struct(
    [
        pa.field("start_frame", pa.int64()),
        pa.field("end_frame", pa.int64()),
        pa.field("caption", pa.string()),
        pa.field("model", pa.string()),
        pa.field("prompt_id", pa.string()),
    ]
)
"""Arrow type of a caption of a window, which may have several. Frames are counted from the start of the clip;
`end_frame` is exclusive."""


def windows_by_clip(captions: pa.Table) -> dict[str, list[Row]]:
    """Captions of windows by clip id, in order, as values of `WINDOW_TYPE`."""
    found: dict[str, list[Row]] = {}
    order = ("clip_id", "window_index", "caption_index")
    ordered = captions.sort_by([(name, "ascending") for name in order])
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


def first_of_windows(captions: list[Row]) -> list[Row]:
    """Of each window the first caption that is kept, which the dataset takes; in order."""
    return list({row["start_frame"]: row for row in reversed(captions)}.values())[::-1]
