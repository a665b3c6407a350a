"""Composes the exhibits of a table: histograms, and contact sheets of frames from the frame store."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.manifest import ManifestRef, last_commit, load_commit, read_commit
from stages.pictures.bar_chart import draw_bars
from stages.pictures.exhibit import SVG, WEBP, Budget, Exhibit, Picture
from stages.pictures.exhibit_plan import COLUMNS, ContactSheet, plan_exhibits
from stages.pictures.histogram import draw_svg
from stages.pictures.stored import StoredPicture, stored_picture
from stages.pictures.thumbnails import decode_jpeg, encode_small, encode_within
from stages.storage import Storage, map_concurrently
from stages.tasks import Row

SPAN_COLUMNS = ["start_pts", "end_pts", "start_s", "end_s", "shot_start_pts", "shot_end_pts"]
BROKEN_JPEG = "the picture in the frame store is broken"
OVER_BUDGET = "there is no room"


class _Cell(NamedTuple):
    """One picture of a contact sheet: its row, its WebP in two sizes, and the reason if the picture is missing."""

    row: Row
    data: bytes
    small: bytes
    missing_reason: str


def compose_exhibits(ref: ManifestRef, number: int, budget: Budget) -> list[Exhibit]:
    """The exhibits of one version of a table: histograms first, then contact sheets in the rest of the budget.

    Raises:
        ManifestError: the table cannot be read.
        StorageError: the store does not answer.
    """
    if ref.asset not in COLUMNS:
        return []
    storage = Storage(ref.root)
    commit = load_commit(storage, ref, number)
    plan = plan_exhibits(ref.asset, read_commit(storage, ref, commit, COLUMNS[ref.asset]), commit)
    bytes_left = budget.total_bytes
    exhibits: list[Exhibit] = []
    drawings = [
        *((f"histogram_{histogram.name}", "", draw_svg(histogram)) for histogram in plan.histograms),
        *((chart.name, chart.note, draw_bars(chart)) for chart in plan.charts),
    ]
    for name, note, svg in drawings:
        if svg and len(svg) <= bytes_left:
            bytes_left -= len(svg)
            exhibits.append(Exhibit(name, note, ((Picture(svg, SVG, small=svg),),)))
    sheets = [sheet for sheet in plan.sheets if sheet.rows]
    return exhibits + _render_sheets(storage, sheets, Budget(bytes_left, budget.small_bytes))


def _render_sheets(storage: Storage, sheets: list[ContactSheet], budget: Budget) -> list[Exhibit]:
    """The sheets as exhibits, with the picture of each row from the frame store."""
    rows = [row for sheet in sheets for sheet_row in sheet.rows for row in sheet_row]
    rows = _with_spans(storage, rows)
    found = map_concurrently(lambda row: stored_picture(storage, row), rows) if rows else []
    images = [decode_jpeg(stored.jpeg) for stored in found]
    encoded = encode_within(images, budget.total_bytes)
    cells = (
        _Cell(row, data, encode_small(image, budget.small_bytes), _missing_reason(stored, image is None, not data))
        for row, stored, image, data in zip(rows, found, images, encoded, strict=True)
    )
    return [_exhibit(sheet, [[next(cells) for _ in sheet_row] for sheet_row in sheet.rows]) for sheet in sheets]


def _exhibit(sheet: ContactSheet, cells: list[list[_Cell]]) -> Exhibit:
    reasons = Counter(cell.missing_reason for row in cells for cell in row if cell.missing_reason)
    missing = " ".join(f"{count} without picture: {reason}." for reason, count in reasons.items())
    rows = (tuple(Picture(cell.data, WEBP, sheet.lines(cell.row), cell.small) for cell in row) for row in cells)
    return Exhibit(sheet.name, f"{sheet.note} {missing}".strip(), tuple(rows))


def _missing_reason(stored: StoredPicture, is_broken: bool, is_dropped: bool) -> str:
    """The reason why a picture is missing; empty where it is not."""
    if stored.missing_reason:
        return stored.missing_reason
    if is_broken:
        return BROKEN_JPEG
    return OVER_BUDGET if is_dropped else ""


def _with_spans(storage: Storage, rows: list[Row]) -> list[Row]:
    """The rows with the spans of their clips, which tables after `filtered_clips` do not hold."""
    partitions = {row["partition"] for row in rows if "start_pts" not in row}
    clip_ids = pa.array([row["clip_id"] for row in rows], pa.string())
    spans: dict[str, Row] = {}
    for span in _spans(storage, partitions, clip_ids):
        spans[span["clip_id"]] = span
    return [{**spans.get(row["clip_id"], {}), **row} for row in rows]


def _spans(storage: Storage, partitions: Iterable[str], clip_ids: pa.Array) -> Iterable[Row]:
    """Spans of the clips, from the newest `filtered_clips` of these partitions."""
    for partition in sorted(partitions):
        ref = ManifestRef(storage.root, "filtered_clips", partition)
        if commit := last_commit(storage, ref):
            table = read_commit(storage, ref, commit, ["clip_id", *SPAN_COLUMNS])
            yield from table.filter(pc.field("clip_id").isin(clip_ids)).to_pylist()
