from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.pictures.stored import NO_STORE, NONE_INSIDE, UNREADABLE, stored_picture
from stages.storage import Storage
from tests.stages.pictures.stores import clip_row, write_store

PICTURES = {pts: f"jpeg {pts}".encode() for pts in (0, 10, 20, 30, 40)}


@pytest.mark.parametrize(
    ("start", "end", "columns", "wanted"),
    [
        (0, 21, {}, b"jpeg 10"),  # nearest to the middle
        (18, 41, {}, b"jpeg 30"),
        (40, 50, {}, b"jpeg 40"),
        (32, 36, {"shot_start_pts": 25, "shot_end_pts": 50}, b"jpeg 30"),  # none inside: of the same shot
    ],
)
def test_stored_picture_is_the_middle_of_the_clip(
    tmp_path: Path, start: int, end: int, columns: dict[str, Any], wanted: bytes
) -> None:
    write_store(tmp_path, "v", PICTURES)
    assert stored_picture(Storage(tmp_path), clip_row("v", start, end, **columns)).jpeg == wanted


def test_stored_picture_of_a_video_without_clips_is_its_middle(tmp_path: Path) -> None:
    write_store(tmp_path, "v", PICTURES)
    row = {**clip_row("v", 0, 0), "start_pts": None, "end_pts": None}
    assert stored_picture(Storage(tmp_path), row).jpeg == b"jpeg 20"


@pytest.mark.parametrize(
    ("data", "lack"), [(None, NO_STORE), (b"no parquet", UNREADABLE), (b"PAR1" + bytes(64) + b"PAR1", UNREADABLE)]
)
def test_stored_picture_says_why_there_is_none(tmp_path: Path, data: bytes | None, lack: str) -> None:
    path = write_store(tmp_path, "v", PICTURES)
    path.unlink() if data is None else path.write_bytes(data)
    assert stored_picture(Storage(tmp_path), clip_row("v", 0, 10)).missing_reason == lack


def test_stored_picture_shows_no_other_clip(tmp_path: Path) -> None:
    write_store(tmp_path, "v", PICTURES)
    assert stored_picture(Storage(tmp_path), clip_row("v", 32, 36)).missing_reason == NONE_INSIDE


def test_stored_picture_fetches_one_row_group(tmp_path: Path) -> None:
    path = write_store(tmp_path, "v", {pts: f"jpeg {pts}".encode() for pts in range(0, 400, 10)})
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 12] = bytes(12)  # the first pages are damaged
    path.write_bytes(data)
    assert stored_picture(Storage(tmp_path), clip_row("v", 195, 205)).jpeg == b"jpeg 200"
    assert stored_picture(Storage(tmp_path), clip_row("v", 0, 12)).missing_reason == UNREADABLE
