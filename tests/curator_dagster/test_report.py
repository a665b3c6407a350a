import base64
from pathlib import Path

import numpy as np
import pytest

from curator_dagster.report.command import contents
from curator_dagster.report.fates import Fate, final_fates
from curator_dagster.report.funnel import funnel
from curator_dagster.report.pictures import pick_pictures
from curator_dagster.report.sample import fair_order
from curator_dagster.report.scores import bin_edges, histograms, score_of
from curator_dagster.report.tables import read_all
from curator_dagster.text import visible
from stages.storage import Storage
from stages.tasks import Row
from tests.curator_dagster.made_roots import CLIP_ASSETS, JPEG, WEBP, clip, commit, write_frames, write_root

ROOM = 1_000_000
DARK = {"filtered_clips": {"status": "rejected", "reason": "black", "error": "black must be at most 0.5, got 0.7."}}
STALLED = {"embeddings": {"status": "failed", "reason": "stalled"}}
ALIKE = {"unique_clips": {"status": "rejected", "reason": "duplicate", "group_id": "clip0", "similarity": 0.97}}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")


def test_funnel_counts_rows_reasons_and_hours_of_each_asset(storage: Storage) -> None:
    write_root(storage, [clip(0), clip(1, ends=DARK), clip(2, ends=DARK), clip(3, ends=STALLED)])
    steps = {step["asset"]: step for step in funnel(read_all(storage))}
    assert list(steps) == ["videos", *CLIP_ASSETS]
    assert steps["videos"]["hours"]["kept"] == pytest.approx(3 * 100 / 3600)
    assert steps["filtered_clips"]["rows"] == {"kept": 2, "rejected": 2, "failed": 0}
    assert steps["filtered_clips"]["why"] == [["rejected", "black", 2]]
    assert steps["filtered_clips"]["hours"]["rejected"] == pytest.approx(2 * 2 / 3600)
    assert steps["embeddings"]["rows"] == {"kept": 1, "rejected": 0, "failed": 1}
    assert steps["dataset"]["hours"]["kept"] == pytest.approx(2 / 3600)


def test_funnel_counts_the_hours_of_a_clip_once_for_all_its_windows(storage: Storage) -> None:
    write_root(storage, [clip(0)], until="embeddings")
    commit(storage, "captions", "p0", [{**clip(0), "window_index": index} for index in range(3)])
    step = next(step for step in funnel(read_all(storage)) if step["asset"] == "captions")
    assert step["rows"]["kept"] == 3
    assert step["hours"]["kept"] == pytest.approx(2 / 3600)


@pytest.mark.parametrize(
    ("ends", "until", "fate"),
    [
        ({}, "dataset", ("dataset", "kept", "")),
        (DARK, "dataset", ("filtered_clips", "rejected", "black")),
        (STALLED, "dataset", ("embeddings", "failed", "stalled")),
        (ALIKE, "dataset", ("unique_clips", "rejected", "duplicate")),
        ({"captions": {"status": "failed", "reason": "empty_caption"}}, "dataset", ("dataset", "kept", "")),
        ({}, "clips", ("clips", "unfinished", "")),
        ({}, "unique_clips", ("unique_clips", "unfinished", "")),
    ],
)
def test_fate_of_a_clip_is_that_of_the_asset_where_it_ends(
    storage: Storage, ends: Row, until: str, fate: tuple[str, ...]
) -> None:
    write_root(storage, [clip(0, ends=ends)], until=until)
    found = final_fates(read_all(storage))
    assert {name: (each.asset, each.status, each.reason) for name, each in found.items()} == {"clip0": fate}


def test_fate_of_a_video_without_clips_is_its_own(storage: Storage) -> None:
    video = {"partition": "p", "uri": "/a.mp4"}
    damaged = {"status": "failed", "reason": "unreadable"}
    empty = {"status": "rejected", "reason": "no_clips"}
    commit(storage, "videos", "p", [{**video, "video_id": "a", **damaged}, {**video, "video_id": "b"}])
    commit(storage, "clips", "p", [{**video, "video_id": "b", "clip_id": None, **empty}])
    found = final_fates(read_all(storage))
    assert found["a"] == Fate("a", "p", "videos", "failed", "unreadable")
    assert found["b"] == Fate("b", "p", "clips", "rejected", "no_clips")


def test_fate_of_a_written_clip_stays_that_of_the_dataset_while_a_filter_turned_stricter(storage: Storage) -> None:
    write_root(storage, [clip(0)])
    commit(storage, "filtered_clips", "p0", [{**clip(0), "status": "rejected", "reason": "black"}])
    assert final_fates(read_all(storage))["clip0"].status == "kept"


def test_fate_of_an_unwritten_clip_is_the_first_loss_while_later_tables_are_of_before(storage: Storage) -> None:
    write_root(storage, [clip(0)], until="unique_clips")
    commit(storage, "filtered_clips", "p0", [{**clip(0), "status": "rejected", "reason": "black"}])
    assert final_fates(read_all(storage))["clip0"] == Fate("clip0", "p0", "filtered_clips", "rejected", "black")


def test_fair_order_shows_each_fate_and_partition_before_any_twice() -> None:
    kept = [Fate(f"k{n}", f"p{n % 50}", "dataset", "kept", "") for n in range(1000)]
    lost = [Fate(f"{reason}{n}", "p0", "filtered_clips", "rejected", reason) for reason in "ab" for n in range(3)]
    order = fair_order([*kept, *lost])
    assert sorted(order, key=id) == sorted([*kept, *lost], key=id)
    assert {fate.reason for fate in order[:4]} == {"", "a", "b"}
    assert len({fate.partition for fate in [fate for fate in order if fate.status == "kept"][:50]}) == 50
    assert order == fair_order([*lost, *reversed(kept)])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 日本語\u3000 and é", "plain, 日本語\u3000 and é"),
        ("evil\u202egpj.exe", "evil⟨U+202E⟩gpj.exe"),
        ("\x1b[31mred\x00", "⟨U+001B⟩[31mred⟨U+0000⟩"),
        ("two\r\nlines\tand\u2028more", "two lines and⟨U+2028⟩more"),
        ("half \udcff", "half ⟨U+DCFF⟩"),
        ("👩\u200d🚀 क्\u200cष", "👩\u200d🚀 क्\u200cष"),
        ("https://me:secret@host/v.mp4", "https://host/v.mp4"),
        ("x" * 60, "x" * 49 + "…"),
    ],
)
def test_visible_writes_out_what_cannot_be_seen(text: str, shown: str) -> None:
    assert visible(text, 50) == shown


@pytest.mark.parametrize(
    ("threshold", "score"),
    [
        ("width_min_px", "size_width_px"),
        ("duration_max_s", "duration"),
        ("motion_max", "motion"),
        ("motion_vectors_patch_min", "motion_vectors_patch"),
        ("black_max", "black"),
        ("brightness_min", None),
    ],
)
def test_score_of_a_threshold_is_told_by_their_names(threshold: str, score: str | None) -> None:
    names = ["size_width_px", "duration", "motion", "motion_vectors_mean", "motion_vectors_patch", "black"]
    assert score_of(threshold, dict.fromkeys(names)) == score


@pytest.mark.parametrize(
    ("values", "limits", "ends"),
    [
        ([0.2, 0.4], [0.5], (0.2, 0.5)),
        ([0.2, 0.4], [100.0], (0.2, 0.4)),
        ([3.0, 3.0], [], (3.0, 4.0)),
        ([0.0, 0.001, 0.01, 1.0], [0.0005], (0.0005, 1.0)),
    ],
)
def test_bin_edges_hold_all_values_and_the_limits_near_them(
    values: list[float], limits: list[float], ends: tuple[float, float]
) -> None:
    edges = bin_edges(np.array(values), limits)
    assert (edges[0], edges[-1]) == pytest.approx(ends)
    assert np.all(np.diff(edges) > 0)


def test_histograms_count_every_clip_that_was_scored(storage: Storage) -> None:
    bright = clip(7, scores={"motion": 0.3, "black": None}, ends=DARK)
    write_root(storage, [*(clip(number) for number in range(6)), bright, clip(8, scores=None)])
    motion, black = histograms(read_all(storage)["filtered_clips"].table)
    assert (motion["name"], sum(motion["kept"]), sum(motion["lost"])) == ("motion", 6, 1)
    assert motion["limits"] == [{"name": "motion_min", "bound": "min", "values": [0.005]}]
    assert (black["name"], sum(black["kept"]), sum(black["lost"])) == ("black", 6, 0)


def test_pictures_are_the_preview_of_a_written_clip_and_stills_of_another(storage: Storage) -> None:
    storage.write_bytes("dataset/p0/0.webp", WEBP)
    write_frames(storage, "p0", "v0", [6000 + 500 * place for place in range(5)])
    write_root(storage, [clip(0, preview_path="dataset/p0/0.webp"), clip(3, ends=DARK)])
    found = contents(storage, ROOM).pictures
    assert [(picture.kind, base64.b64decode(picture.data)) for picture in found["clip0"]] == [("image/webp", WEBP)]
    stills = [base64.b64decode(picture.data).removeprefix(JPEG) for picture in found["clip3"]]
    assert stills == [b"\x01", b"\x02", b"\x03"]  # of frames at 0, 0.5, 1, 1.5 and 2 s of the clip


def test_pictures_are_none_where_the_frame_store_is_damaged_or_gone(storage: Storage) -> None:
    storage.write_bytes("frames/p0/v0.parquet", b"PAR1 no such thing PAR1")
    write_root(storage, [clip(0), clip(1, preview_path="dataset/gone.webp")])
    assert contents(storage, ROOM).pictures == {"clip0": [], "clip1": []}


def test_pictures_take_no_more_room_than_there_is(storage: Storage) -> None:
    clips = [clip(number, id=f"clip{number}", preview_path=None) for number in range(9)]
    for name in range(3):
        write_frames(storage, f"p{name}", f"v{name}", list(range(0, 18_000, 500)), b"x" * 3000)
    picked = pick_pictures(storage, clips, 20_000)
    assert list(picked) == ["clip0", "clip1", "clip2", "clip3"]  # a picture of 4004 bytes each
    assert len(pick_pictures(storage, clips, 30_000)["clip0"]) == 1
    assert len(pick_pictures(storage, clips, 90_000)["clip0"]) > 1
