"""Collects the contents of the page: reads the tables under a root once."""

from datetime import UTC, datetime
from typing import Any

from curator_dagster.printable_text import printable
from curator_dagster.report.committed_tables import read_committed
from curator_dagster.report.final_outcomes import final_outcomes
from curator_dagster.report.funnel import funnel
from curator_dagster.report.gallery_order import round_robin_order
from curator_dagster.report.gallery_rows import Row, gallery_rows
from curator_dagster.report.lineage import distinct_lineages
from curator_dagster.report.page import PageContents, clip_json, render_page, script_json
from curator_dagster.report.pictures import pick_pictures
from curator_dagster.report.score_histograms import score_histograms
from curator_dagster.report.similar_clips import SIMILAR_BYTES, with_similar
from stages.storage import Storage

_MAX_ROOT_CHARS = 500
_ROWS_DIVISOR = 2
"""Rows take at most the total size divided by this; the rest is for pictures."""
_MIN_ROW_BYTES = 150
"""Least size of a row in the page."""
_PICTURE_MARKUP_BYTES = 3 * 60
"""Size of the HTML around the pictures of a clip."""


def page_contents(storage: Storage, max_bytes: int) -> PageContents:
    """Statistics of all rows of a root, and as many clips and pictures as there is room for."""
    committed = read_committed(storage)
    outcomes = round_robin_order(final_outcomes(committed).values())
    facts: dict[str, Any] = {
        "root": printable(storage.root, _MAX_ROOT_CHARS),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "funnel": funnel(committed),
        "scores": score_histograms(committed["filtered_clips"].table),
        "made_with": distinct_lineages(committed),
        "entries": len(outcomes),
    }
    scores = [histogram["name"] for histogram in facts["scores"]]
    room = max(0, max_bytes - len(render_page(PageContents(facts, [], {})).encode()))
    # Rows that cannot fit into the page are not built.
    rows = gallery_rows(committed, outcomes[: room // _ROWS_DIVISOR // _MIN_ROW_BYTES])
    clips, used = _rows_that_fit(rows, scores, room // _ROWS_DIVISOR)
    pictured = [clip for clip in clips if clip["is_clip"]]
    return PageContents(facts, with_similar(storage, clips), pick_pictures(storage, pictured, room - used))


def _rows_that_fit(rows: list[Row], scores: list[str], max_bytes: int) -> tuple[list[Row], int]:
    """The first rows that take at most `max_bytes`, and how many bytes they take."""
    used = 0
    for index, row in enumerate(rows):
        size = len(script_json(clip_json(row, scores))) + _PICTURE_MARKUP_BYTES + SIMILAR_BYTES
        if used + size > max_bytes:
            return rows[:index], used
        used += size
    return rows, used
