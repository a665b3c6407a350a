from pathlib import Path

import pytest

from stages.manifest import ALL, ManifestRef
from stages.pictures.exhibit import SVG, Budget, Exhibit, exhibits
from tests.stages.pictures.stores import PARTITION, clip_row, commit, jpeg, noise, write_store
from tests.stages.pictures.svg_texts import texts

BUDGET = Budget(32_000, 520)


def exhibits_by_name(ref: ManifestRef, budget: Budget = BUDGET) -> dict[str, Exhibit]:
    return {exhibit.name: exhibit for exhibit in exhibits(ref, 1, budget)}


def lines_of(exhibit: Exhibit) -> list[list[tuple[str, ...]]]:
    return [[picture.lines for picture in row] for row in exhibit.rows]


@pytest.fixture
def filtered(tmp_path: Path) -> ManifestRef:
    """Two kept clips and one rejected one, of two videos."""
    for video_id in "ab":
        write_store(tmp_path, video_id, {pts: jpeg(10 * pts) for pts in range(20)})
    lost = {"status": "rejected", "reason": "motion", "error": "motion must be at least 0.1, got 0.05."}
    rows = [
        clip_row("a", 0, 5, scores={"motion": 0.3, "own": 1.0}),
        clip_row("a", 5, 10, scores={"motion": 0.05}, **lost),
        clip_row("b", 70, 80, scores={"motion": 0.4}),
    ]
    return commit(tmp_path, "filtered_clips", rows, filters=["motion"], motion_min=0.1)


def test_filtered_clips_show_scores_with_thresholds_and_both_outcomes(filtered: ManifestRef) -> None:
    found = exhibits_by_name(filtered)
    assert list(found) == ["histogram_motion", "histogram_own", "kept_clips", "rejected_clips"]
    assert "≥ 0.1 ≤ 100".encode() in found["histogram_motion"].rows[0][0].data
    assert found["histogram_own"].rows[0][0].media_type == SVG
    (rejected,) = lines_of(found["rejected_clips"])[0]
    assert rejected == ("motion", "motion must be at least 0.1, got 0.05.", "a.mp4", "00:05.0-00:10.0 a-5")


def test_filtered_clips_show_motions_of_the_camera_by_name(tmp_path: Path) -> None:
    lost = {"status": "rejected", "reason": "camera"}
    rows = [
        clip_row("a", 0, 5, scores={"camera_motion": 0.0}),
        clip_row("a", 5, 10, scores={"camera_motion": 6.0}, **lost),
        clip_row("b", 0, 5, scores={"camera_motion": 6.0}),
        clip_row("b", 5, 10, scores={"motion": 1.0}),
    ]
    found = exhibits_by_name(commit(tmp_path, "filtered_clips", rows))
    assert "histogram_camera_motion" not in found
    assert texts(found["camera_motion"].rows[0][0].data) == ["mixed 1/2", "static 1/1"]


def test_an_exhibit_says_which_pictures_are_missing_and_why(filtered: ManifestRef) -> None:
    kept = exhibits_by_name(filtered)["kept_clips"]
    assert kept.note == "2 of 2 kept. 1 without picture: the frame store holds no picture of the clip."
    assert [bool(picture.data) for picture in kept.rows[0]] == [True, False]
    assert lines_of(kept)[0][1][0] == "b.mp4"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda store: store.unlink(), "the frame store is gone, or was never made"),
        (lambda store: store.write_bytes(b"PAR1"), "the frame store cannot be read"),
        (lambda store: write_store(store.parents[2], "a", {2: b"no JPEG"}), "the picture in the frame store is broken"),
    ],
)
def test_damaged_frame_stores_cost_pictures_alone(filtered: ManifestRef, damage: object, why: str) -> None:
    assert callable(damage)
    damage(Path(filtered.root) / f"frames/{PARTITION}/a.parquet")
    assert f"1 without picture: {why}." in exhibits_by_name(filtered)["kept_clips"].note


def test_exhibits_say_that_a_table_cannot_be_read(filtered: ManifestRef) -> None:
    for rows in Path(filtered.root).rglob("rows-*.parquet"):
        rows.unlink()
    (only,) = exhibits(filtered, 1, BUDGET)
    assert only.name == "pictures"
    assert only.note.startswith("No pictures: ")
    assert not only.rows


def test_pictures_of_noise_stay_within_the_budget(tmp_path: Path) -> None:
    write_store(tmp_path, "v", {pts: noise(pts) for pts in range(12)})
    ref = commit(tmp_path, "clips", [clip_row("v", pts, pts + 1) for pts in range(12)])
    budget = Budget(9_000, 300)
    pictures = [picture for each in exhibits(ref, 1, budget) for row in each.rows for picture in row]
    assert sum(len(picture.data) for picture in pictures) <= budget.total_bytes
    assert all(len(picture.small) <= budget.small_bytes for picture in pictures if picture.media_type != SVG)


def test_dedup_shows_the_largest_groups_side_by_side(filtered: ManifestRef) -> None:
    def row(clip: str, pts: int, **columns: object) -> dict[str, object]:
        return {"partition": PARTITION, "video_id": clip, "uri": f"/{clip}.mp4", "clip_id": f"{clip}-{pts}", **columns}

    group = {"group_id": "a-0", "group_size": 3}
    rows = [
        row("a", 5, **group, status="rejected", reason="duplicate", rank=1, similarity=0.98),
        row("a", 10, **group, status="rejected", reason="copy", rank=2),
        row("a", 0, **group, status="kept", rank=0, similarity=0.5),
        row("b", 70, group_id="b-70", group_size=1, status="kept", rank=0),
    ]
    found = exhibits_by_name(commit(Path(filtered.root), "unique_clips", rows, partition=ALL, eps=0.07))
    assert "≤ 0.93".encode() in found["histogram_similarity"].rows[0][0].data
    assert lines_of(found["largest_groups"]) == [
        [
            ("kept, 1 of 3 clips", "a.mp4", "00:00.0-00:05.0 a-0"),
            ("similarity 0.980", "a.mp4", "00:05.0-00:10.0 a-5"),
            ("copy", "a.mp4", "a-10"),  # filtered_clips does not hold it
        ]
    ]
    assert all(picture.data for picture in found["largest_groups"].rows[0][:2])


def test_dedup_shows_each_quota_before_and_after(tmp_path: Path) -> None:
    def row(number: int, status: str, camera: str, reason: str | None = None) -> dict[str, object]:
        clip = {"partition": PARTITION, "video_id": "a", "uri": "/a.mp4", "clip_id": f"a-{number}"}
        classes = {"camera_motion": camera, "video_id": "a"}
        return {**clip, "status": status, "reason": reason, "quota_classes": classes, "group_size": 1}

    rows = [
        row(0, "kept", "pan"),
        row(1, "rejected", "static", "over_quota"),
        row(2, "kept", "static"),
        row(3, "rejected", "static", "duplicate"),
    ]
    quotas = [{"by": "camera_motion", "max_share": 0.4}, {"by": "video_id", "max": 2}]
    found = exhibits_by_name(commit(tmp_path, "unique_clips", rows, partition=ALL, eps=0.07, quotas=quotas))
    notes = [found[f"quota_{by}"].note for by in ("camera_motion", "video_id")]
    assert notes == ["At most 1 of each.", "At most 2 of each."]
    (((camera,),), ((video,),)) = (found[f"quota_{by}"].rows for by in ("camera_motion", "video_id"))
    assert texts(camera.data) == ["static 1/2", "pan 1/1"]
    assert texts(video.data) == ["a 2/3"]


def test_captions_show_five_clips_each_with_its_text(filtered: ManifestRef) -> None:
    source = {"partition": PARTITION, "video_id": "a", "uri": "/a.mp4", "status": "kept"}
    rows = [
        {**source, "clip_id": f"a-{clip}", "window_index": window, "caption": f"text {clip}\n{window}"}
        for clip in range(9)
        for window in (0, 1)
    ]
    captions = exhibits_by_name(commit(Path(filtered.root), "captions", rows))["captions"]
    assert captions.note.startswith("5 of 9 captioned clips;")
    assert [picture.lines[0] for (picture,) in captions.rows] == [f"text {clip} 0" for clip in (0, 2, 4, 6, 8)]


def test_captions_show_scores_languages_and_the_worst(filtered: ManifestRef) -> None:
    """Rejected ones first, each reason in turn; then the kept one that repeats most. Histograms have the thresholds."""
    source = {"partition": PARTITION, "video_id": "a", "uri": "/a.mp4", "window_index": 0, "caption_index": 0}
    made = [
        ("kept", None, "en", 0.0),
        ("kept", None, None, 0.2),
        ("kept", None, "en", 0.1),
        ("rejected", "refused", "en", 0.0),
        ("rejected", "repetitive", "en", 0.9),
        ("rejected", "wrong_language", "de", 0.0),
    ]
    rows = [
        {
            **source,
            "clip_id": f"a-{number}",
            "status": status,
            "reason": reason,
            "error": None if reason is None else f"what is wrong with {number}",
            "caption": f"caption {number}",
            "language": language,
            "scores": {"words": 2.0 + number, "repetition": repetition},
        }
        for number, (status, reason, language, repetition) in enumerate(made)
    ]
    ref = commit(Path(filtered.root), "captions", rows, min_words=3, max_words=600, max_repetition=0.3)
    found = exhibits_by_name(ref)
    worst = [picture.lines for (picture,) in found["worst_captions"].rows]
    assert [lines[1] for lines in worst] == ["caption 3", "caption 4", "caption 5", "caption 1", "caption 2"]
    assert worst[1][:3] == ("repetitive: what is wrong with 4", "caption 4", "words 6, repetition 0.9")
    assert worst[3][0] == "kept"
    (((languages,),),) = (found["languages"].rows,)
    assert sorted(texts(languages.data)) == ["de 0/1", "en 2/4", "not told 1/1"]
    ((words,),) = found["histogram_words"].rows
    assert texts(words.data)[:3] == ["3 kept", "3 rejected", "\u2265 3 \u2264 600"]
    assert "histogram_similarity" not in found


@pytest.mark.parametrize("asset", ["videos", "clips", "filtered_clips", "embeddings", "captions", "dataset"])
def test_a_table_without_a_kept_row_shows_no_pictures(tmp_path: Path, asset: str) -> None:
    row = {"partition": PARTITION, "video_id": "v", "uri": "/v.mp4", "status": "failed", "reason": "unreadable"}
    assert not [row for each in exhibits(commit(tmp_path, asset, [row]), 1, BUDGET) for row in each.rows]
