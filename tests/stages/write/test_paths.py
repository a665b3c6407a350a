import pytest

from stages.params import WriteParams
from stages.tasks import Row
from stages.write.paths import index_path, media_path, metadata_path, preview_path

ITEM: Row = {
    "partition": "p",
    "clip_id": "c",
    "start_is_keyframe": True,
    "end_is_keyframe": False,
    "frames_key": "f",
    "caption": "A wall.",
    "interlaced_share": 0.0,
    "field_order": None,
    "hdr_peak_nits": None,
}


def test_paths_stand_beside_one_another() -> None:
    params = WriteParams()
    paths = [media_path(ITEM, params), preview_path(ITEM, params), metadata_path(ITEM, "{}")]
    assert [path[:4] for path in paths] == ["p/c-"] * 3
    assert [path.rsplit(".", 1)[1] for path in paths] == ["mp4", "webp", "json"]
    assert index_path("p") == "dataset/index/p.parquet"


@pytest.mark.parametrize("changed", [{"caption": "A door."}, {"scores": {"motion": 2.0}}])
def test_media_path_stays_where_the_picture_does(changed: Row) -> None:
    assert media_path({**ITEM, **changed}, WriteParams()) == media_path(ITEM, WriteParams())


@pytest.mark.parametrize(
    "changed",
    [{"mode": "encode"}, {"mode": "smart"}, {"encoder": "vp9"}, {"quality": 30}, {"preset": "slow"}, {"hdr": "keep"}],
)
def test_media_path_changes_with_how_it_is_cut(changed: Row) -> None:
    params = WriteParams.model_validate(changed)
    assert media_path(ITEM, params) != media_path(ITEM, WriteParams())
    assert preview_path(ITEM, params) == preview_path(ITEM, WriteParams())


@pytest.mark.parametrize("changed", [{"preview_fps": 2.0}, {"preview_height_px": 100}])
def test_preview_path_changes_with_the_preview(changed: Row) -> None:
    params = WriteParams.model_validate(changed)
    assert preview_path(ITEM, params) != preview_path(ITEM, WriteParams())
    assert media_path(ITEM, params) == media_path(ITEM, WriteParams())


def test_metadata_path_changes_with_its_text() -> None:
    assert metadata_path(ITEM, "{}") != metadata_path(ITEM, "{ }")
