"""The exhibits of a table: its histograms, and its chosen rows with their pictures from the frame store."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from stages.manifest import ManifestRef, last_commit, load_commit, read_commit_rows
from stages.pictures.drafts import COLUMNS, Draft, plan_of
from stages.pictures.gallery import SVG, WEBP, Budget, Exhibit, Picture
from stages.pictures.histogram import draw
from stages.pictures.stored import Stored, stored_picture
from stages.pictures.thumbnails import decode_jpeg, encode_small, encode_within
from stages.storage import Storage, map_concurrently
from stages.tasks import Row

SPAN_COLUMNS = ["start_pts", "end_pts", "start_s", "end_s", "shot_start_pts", "shot_end_pts"]
NO_JPEG = "the picture in the frame store is broken"
NO_ROOM = "there is no room"


class _Entry(NamedTuple):
    """A row that is shown, its picture in two sizes, and why there is none."""

    row: Row
    data: bytes
    small: bytes
    lack: str


def compose(ref: ManifestRef, number: int, budget: Budget) -> list[Exhibit]:
    """The exhibits of one version of a table: histograms first, then what they leave of the budget for photographs.

    Raises:
        ManifestError: the table cannot be read.
        StorageError: the store does not answer.
    """
    if ref.asset not in COLUMNS:
        return []
    storage = Storage(ref.root)
    commit = load_commit(storage, ref, number)
    plan = plan_of(ref.asset, read_commit_rows(storage, ref, commit, COLUMNS[ref.asset]), commit)
    left = budget.total_bytes
    shown: list[Exhibit] = []
    for histogram in plan.histograms:
        svg = draw(histogram)
        if svg and len(svg) <= left:
            left -= len(svg)
            shown.append(Exhibit(f"histogram_{histogram.name}", "", ((Picture(svg, SVG, small=svg),),)))
    drafts = [draft for draft in plan.drafts if draft.rows]
    return shown + _with_pictures(storage, drafts, Budget(left, budget.small_bytes))


def _with_pictures(storage: Storage, drafts: list[Draft], budget: Budget) -> list[Exhibit]:
    """The drafts, each row with its picture out of the frame store."""
    rows = [row for draft in drafts for across in draft.rows for row in across]
    located = _located(storage, rows)
    found = map_concurrently(lambda row: stored_picture(storage, row), located) if located else []
    images = [decode_jpeg(stored.jpeg) for stored in found]
    encoded = encode_within(images, budget.total_bytes)
    entries = (
        _Entry(row, data, encode_small(image, budget.small_bytes), _lack(stored, image is None, not data))
        for row, stored, image, data in zip(located, found, images, encoded, strict=True)
    )
    return [_exhibit(draft, [[next(entries) for _ in across] for across in draft.rows]) for draft in drafts]


def _exhibit(draft: Draft, entries: list[list[_Entry]]) -> Exhibit:
    lacks = Counter(entry.lack for across in entries for entry in across if entry.lack)
    missing = " ".join(f"{count} without picture: {lack}." for lack, count in lacks.items())
    rows = (tuple(Picture(each.data, WEBP, draft.lines(each.row), each.small) for each in across) for across in entries)
    return Exhibit(draft.name, f"{draft.note} {missing}".strip(), tuple(rows))


def _lack(stored: Stored, is_broken: bool, is_dropped: bool) -> str:
    """Why a picture is missing; empty where it is there."""
    if stored.lack:
        return stored.lack
    if is_broken:
        return NO_JPEG
    return NO_ROOM if is_dropped else ""


def _located(storage: Storage, rows: list[Row]) -> list[Row]:
    """The rows with the spans of their clips, which assets after the filter do not repeat."""
    wanted = {row["partition"] for row in rows if "start_pts" not in row}
    clip_ids = pa.array([row["clip_id"] for row in rows], pa.string())
    spans: dict[str, Row] = {}
    for span in _spans(storage, wanted, clip_ids):
        spans[span["clip_id"]] = span
    return [{**spans.get(row["clip_id"], {}), **row} for row in rows]


def _spans(storage: Storage, partitions: Iterable[str], clip_ids: pa.Array) -> Iterable[Row]:
    """What the newest `filtered_clips` of these partitions say of where the clips lie."""
    for partition in sorted(partitions):
        ref = ManifestRef(storage.root, "filtered_clips", partition)
        if commit := last_commit(storage, ref):
            table = read_commit_rows(storage, ref, commit, ["clip_id", *SPAN_COLUMNS])
            yield from table.filter(pc.field("clip_id").isin(clip_ids)).to_pylist()
