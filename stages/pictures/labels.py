"""Makes the lines of text below a picture from the picture's row. Lines are plain text; the caller escapes them."""

from typing import Any

from stages.tasks import Row

MAX_LINE_CHARS = 160
MAX_NAME_CHARS = 48
MAX_CAPTION_CHARS = 600


def kept_lines(row: Row) -> tuple[str, ...]:
    """Lines of a kept row: the source's file name; the clip's start, end and id."""
    name = shortened(str(row["uri"]).rsplit("/", 1)[-1], MAX_NAME_CHARS)
    start, end, clip_id = row.get("start_s"), row.get("end_s"), row.get("clip_id") or ""
    return (
        name,
        clip_id if start is None or end is None else f"{format_timestamp(start)}-{format_timestamp(end)} {clip_id}",
    )


def format_timestamp(seconds: float) -> str:
    """Minutes and seconds, with hours from one hour on."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text


def shortened(text: Any, max_chars: int = MAX_LINE_CHARS) -> str:
    """The text on one line, cut to `max_chars` with an ellipsis."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def rejected_lines(row: Row) -> tuple[str, ...]:
    """Lines of a rejected row: first the reason and the error."""
    return str(row["reason"]), shortened(row["error"]), *kept_lines(row)


def dataset_lines(row: Row) -> tuple[str, ...]:
    """Lines of a row of `dataset`, with the caption last."""
    return *kept_lines(row), shortened(row["caption"])


def group_lines(row: Row) -> tuple[str, ...]:
    """Lines of a row of a group: first the group's size for the kept clip, or the similarity for a removed one."""
    if row["status"] == "kept":
        return f"kept, 1 of {row['group_size']} clips", *kept_lines(row)
    found = "copy" if row["similarity"] is None else f"similarity {row['similarity']:.3f}"
    return found, *kept_lines(row)


def caption_lines(row: Row) -> tuple[str, ...]:
    """Lines of a row of `captions`, with the caption first."""
    return shortened(row["caption"], MAX_CAPTION_CHARS), *kept_lines(row)


def judged_caption_lines(row: Row) -> tuple[str, ...]:
    """Lines of a caption, with what was decided before its text."""
    decided = "kept" if row["status"] == "kept" else f"{row['reason']}: {shortened(row['error'])}"
    scores = dict(row["scores"] or [])
    shown = ", ".join(f"{name} {scores[name]:g}" for name in ("words", "repetition", "similarity") if name in scores)
    return decided, shortened(row["caption"], MAX_CAPTION_CHARS), shown, *kept_lines(row)
