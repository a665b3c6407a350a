from typing import Any

import pytest

from stages.params import CaptionParams, DedupParams, FilterParams, Params, SplitParams
from stages.run.changes import describe_changes

CAMERA = {"by": "camera_motion", "max": 9}


def made_with(params: Params, **more: Any) -> dict[str, Any]:
    return {"code_version": params.code_version, "params": params.model_dump(mode="json"), "identity": {}, **more}


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (SplitParams(threshold=0.3), SplitParams(), ["split.threshold changed from 0.4 to 0.3"]),
        (FilterParams(motion_min=0.1), FilterParams(), ["filter.motion_min changed from 0.0015 to 0.1"]),
        (FilterParams(filters=["size", "a:B"]), FilterParams(filters=["size"]), ["filter.filters: added a:B"]),
        (
            FilterParams(filters=["size"]),
            FilterParams(filters=["a:B", "c:D", "size"]),
            ["filter.filters: removed a:B, c:D"],
        ),
        (
            FilterParams(filters=["black", "size"]),
            FilterParams(filters=["size", "motion"]),
            ["filter.filters: added black; removed motion"],
        ),
        (
            FilterParams(filters=["black", "size"]),
            FilterParams(filters=["size", "black"]),
            ["filter.filters: now in the order black, size"],
        ),
        (
            FilterParams(custom=[{"filter": "a:B", "area_max": 0.1}, {"filter": "c:D"}]),
            FilterParams(custom=[{"filter": "a:B", "area_max": 0.2, "size": 3}, {"filter": "e:F"}]),
            ["filter.custom: added c:D; removed e:F; a:B: removed size; area_max changed from 0.2 to 0.1"],
        ),
        (
            DedupParams(quotas=[{"by": "uri", "max": 1}, CAMERA]),
            DedupParams(quotas=[{"by": "uri", "max": 2}, {"by": "cluster", "max": 5}]),
            ["dedup.quotas: added camera_motion; removed cluster; uri: max changed from 2 to 1"],
        ),
        (DedupParams(quotas=[CAMERA]), DedupParams(), ["dedup.quotas: added camera_motion"]),
        (DedupParams(), DedupParams(quotas=[CAMERA]), ["dedup.quotas: removed camera_motion"]),
        (SplitParams(max_failed_fraction=0.1), SplitParams(), []),
        (SplitParams(clip_length_s=5), SplitParams(), []),  # not read by the method that is chosen
        (
            CaptionParams(prompt="x" * 99),
            CaptionParams(prompt="?"),
            [f"caption.prompt changed from '?' to '{'x' * 56}..."],
        ),
        (
            CaptionParams(prompt="Describe the video in one sentence, as plainly as can be. Name no colours."),
            CaptionParams(prompt="Describe the video in one sentence, as plainly as can be. Name colours."),
            ["caption.prompt changed from ...' be. Name colours.' to ...' be. Name no colours.'"],
        ),
    ],
)
def test_changes_names_what_undoes_rows(now: Params, before: Params, expected: list[str]) -> None:
    assert describe_changes(now, {}, made_with(before)) == expected


def test_changes_of_code_and_model() -> None:
    before = made_with(SplitParams(), code_version="0", identity={"model": "a", "weights_hash": "1"})
    assert describe_changes(SplitParams(), {"model": "b", "weights_hash": "1"}, before) == [
        f"split's code changed from version 0 to {SplitParams.code_version}",
        "split: model changed from 'a' to 'b'",
    ]


def test_changes_of_users_code() -> None:
    params = FilterParams(filters=["a:B"])
    before = made_with(params, identity={"b's code": "source 1"})
    assert describe_changes(params, {"b's code": "version 2"}, before) == [
        "filter: b's code changed from source 1 to version 2"
    ]
    assert describe_changes(params, {"b's code": "source 1"}, made_with(params)) == [
        "filter: b's code was not recorded before"
    ]
    assert describe_changes(params, {"b's code": "source 1"}, made_with(FilterParams(filters=["size"]))) == [
        "filter.filters: added a:B; removed size"
    ]


def test_changes_of_a_new_table_are_none() -> None:
    assert describe_changes(SplitParams(), {}, None) == []
