import base64

from curator_dagster.report.contents import page_contents
from curator_dagster.report.pictures import pick_pictures
from stages.storage import Storage
from tests.curator_dagster.synthetic_roots import JPEG, WEBP, clip, write_frames, write_root

ROOM = 1_000_000


DARK = {"filtered_clips": {"status": "rejected", "reason": "black", "error": "black must be at most 0.5, got 0.7."}}


def test_pictures_are_the_preview_of_a_written_clip_and_stills_of_another(storage: Storage) -> None:
    storage.write_bytes("dataset/p0/0.webp", WEBP)
    write_frames(storage, "p0", "v0", [6000 + 500 * place for place in range(5)])
    write_root(storage, [clip(0, preview_path="dataset/p0/0.webp"), clip(3, ends=DARK)])
    found = page_contents(storage, ROOM).pictures
    assert [(picture.media_type, base64.b64decode(picture.data)) for picture in found["clip0"]] == [
        ("image/webp", WEBP)
    ]
    stills = [base64.b64decode(picture.data).removeprefix(JPEG) for picture in found["clip3"]]
    assert stills == [b"\x01", b"\x02", b"\x03"]  # of frames at 0, 0.5, 1, 1.5 and 2 s of the clip


def test_pictures_are_none_where_the_frame_store_is_damaged_or_gone(storage: Storage) -> None:
    storage.write_bytes("frames/p0/v0.parquet", b"PAR1 no such thing PAR1")
    write_root(storage, [clip(0), clip(1, preview_path="dataset/gone.webp")])
    assert page_contents(storage, ROOM).pictures == {"clip0": [], "clip1": []}


def test_pictures_take_no_more_room_than_there_is(storage: Storage) -> None:
    clips = [clip(number, id=f"clip{number}", preview_path=None) for number in range(9)]
    for name in range(3):
        write_frames(storage, f"p{name}", f"v{name}", list(range(0, 18_000, 500)), b"x" * 3000)
    picked = pick_pictures(storage, clips, 20_000)
    assert list(picked) == ["clip0", "clip1", "clip2", "clip3"]  # a picture of 4004 bytes each
    assert len(pick_pictures(storage, clips, 30_000)["clip0"]) == 1
    assert len(pick_pictures(storage, clips, 90_000)["clip0"]) > 1
